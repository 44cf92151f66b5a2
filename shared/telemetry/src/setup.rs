//! The subscriber: filter, form of the line, where it goes.

use crate::options::{Color, Format, OptionError, TelemetryOptions};
use std::io;
use tracing::{Dispatch, Event, Subscriber, dispatcher};
use tracing_subscriber::fmt::format::{self, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The options.
    #[error("the log cannot be set up as configured")]
    Options(#[from] OptionError),
    /// Called twice, or something else set a subscriber before.
    #[error("the log is set up already; a program does so once, when it starts")]
    AlreadySet,
    /// Spans are to be sent, and this build cannot.
    #[error(
        "this build cannot send spans to a collector; take the collector out of the \
         configuration, or build with the feature `otlp`"
    )]
    NoOtlp,
    /// Spans are to be sent, and there is no runtime to send them.
    #[error("the log with a collector must be set up within the asynchronous runtime")]
    NoRuntime,
}

/// Stands for the log that has been set up; hold it until `main` ends. Dropping it sends the last
/// spans to the collector, where there is one, and waits for that a few seconds at most; on a
/// runtime with a single thread drop it in `spawn_blocking`, or the wait stops what it waits for.
#[must_use = "hold the guard until main ends"]
#[derive(Debug)]
pub struct Guard {
    #[cfg(feature = "otlp")]
    _exporter: Option<crate::otlp::Exporter>,
}

/// Sets up logging for the whole process, to standard error. Call it once, first thing in `main`.
pub fn init(options: &TelemetryOptions) -> Result<Guard, InitError> {
    let (dispatch, guard) = subscriber(options, io::stderr)?;
    dispatcher::set_global_default(dispatch).map_err(|_| InitError::AlreadySet)?;
    Ok(guard)
}

/// The subscriber that [`init`] sets, with a writer of the caller's choice: for tests, and for
/// programs that keep a log of their own.
pub fn subscriber<W>(options: &TelemetryOptions, writer: W) -> Result<(Dispatch, Guard), InitError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = options.filter.build()?;
    let registry = Registry::default()
        .with(lines(options, writer))
        .with(filter);
    #[cfg(feature = "otlp")]
    {
        let exporter = match &options.otlp {
            Some(endpoint) => Some(crate::otlp::Exporter::new(options.service, endpoint)?),
            None => None,
        };
        let spans = exporter.as_ref().map(crate::otlp::Exporter::layer);
        let guard = Guard {
            _exporter: exporter,
        };
        Ok((Dispatch::new(registry.with(spans)), guard))
    }
    #[cfg(not(feature = "otlp"))]
    {
        if options.otlp.is_some() {
            return Err(InitError::NoOtlp);
        }
        Ok((Dispatch::new(registry), Guard {}))
    }
}

fn lines<W>(options: &TelemetryOptions, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    match options.format {
        Format::Text => tracing_subscriber::fmt::layer()
            .with_ansi(options.color == Color::Always)
            .with_writer(writer)
            .boxed(),
        Format::Json => tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLine::new(options.service))
            .with_ansi(false)
            .with_writer(writer)
            .boxed(),
    }
}

/// tracing's JSON line with the program's name put in front.
struct JsonLine {
    prefix: String,
    inner: format::Format<format::Json>,
}

impl JsonLine {
    fn new(service: &str) -> Self {
        // The name is a constant of the program; what JSON would have to escape is left out.
        let plain = |c: &char| !c.is_control() && *c != '"' && *c != '\\';
        let name: String = service.chars().filter(plain).collect();
        Self {
            prefix: format!("{{\"service\":\"{name}\","),
            inner: format::format().json().with_current_span(false),
        }
    }
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut line = String::new();
        self.inner
            .format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => write!(writer, "{}{rest}", self.prefix),
            None => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain;
    use std::sync::{Arc, Mutex};
    use tracing::{error, info, info_span};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(options: &TelemetryOptions, body: impl FnOnce()) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let (dispatch, _guard) = subscriber(options, move || writer.clone()).unwrap();
        dispatcher::with_default(&dispatch, body);
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    fn options(filter: &str, format: Format) -> TelemetryOptions {
        TelemetryOptions {
            filter: filter.parse().unwrap(),
            format,
            ..TelemetryOptions::new("provado-test")
        }
    }

    #[test]
    fn a_json_line_names_program_span_and_fields() {
        let text = logged(&options("info", Format::Json), || {
            let _span = info_span!("attempt", run.id = "r1").entered();
            info!(backup.size_bytes = 42_u64, "stored \"it\"\nat once");
        });
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["service"], "provado-test");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["fields"]["message"], "stored \"it\"\nat once");
        assert_eq!(line["fields"]["backup.size_bytes"], 42);
        assert_eq!(line["spans"][0]["run.id"], "r1");
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.ends_with('Z'), "{time} is in UTC");
    }

    #[test]
    fn a_text_line_is_plain_unless_colors_are_asked_for() {
        let mut options = options("info", Format::Text);
        let cause = io::Error::other("disk \u{1b}[31mfull");
        let log = || error!(error = %chain(&cause), "cannot write");
        let plain = logged(&options, log);
        assert!(plain.contains("ERROR"), "{plain}");
        assert!(plain.contains("cannot write"), "{plain}");
        assert!(!plain.contains('\u{1b}'), "{plain:?}");
        options.color = Color::Always;
        assert!(logged(&options, log).contains('\u{1b}'));
    }

    #[test]
    fn the_filter_decides_per_module() {
        let filter = format!("warn,{}=debug", module_path!());
        let text = logged(&options(&filter, Format::Text), || {
            tracing::debug!("mine");
            tracing::info!(target: "h2", "theirs");
            tracing::warn!(target: "h2", "trouble");
        });
        assert!(text.contains("mine") && text.contains("trouble"));
        assert!(!text.contains("theirs"));
        assert_eq!(logged(&options("off", Format::Json), || error!("x")), "");
    }

    #[test]
    fn a_collector_that_cannot_be_served_is_an_error_not_a_silence() {
        let mut options = TelemetryOptions::new("provado-test");
        options.otlp = Some("http://127.0.0.1:4317".parse().unwrap());
        let error = subscriber(&options, io::sink).unwrap_err();
        if cfg!(feature = "otlp") {
            assert!(matches!(error, InitError::NoRuntime), "{error}");
        } else {
            assert!(matches!(error, InitError::NoOtlp), "{error}");
        }
    }

    #[test]
    fn the_log_is_set_up_once() {
        let options = TelemetryOptions::new("provado-test");
        let first = init(&options);
        assert!(first.is_ok());
        let second = init(&options);
        assert!(matches!(second, Err(InitError::AlreadySet)));
    }
}
