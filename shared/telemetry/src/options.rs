//! What a program's configuration says about its log.

use std::fmt;
use std::str::FromStr;
use tracing_subscriber::filter::EnvFilter;

/// Longest filter, in bytes.
pub const FILTER_BYTES_MAX: usize = 4096;

/// How a program logs.
#[derive(Debug, Clone)]
pub struct TelemetryOptions {
    /// The program, as it is named in every line: `provado-controller`, `provado-agent`.
    pub service: &'static str,
    /// What is logged.
    pub filter: LevelFilter,
    /// For people or for machines.
    pub format: Format,
    /// Colors in text; JSON has none.
    pub color: Color,
    /// Where spans are sent, if anywhere. Needs a build with the feature `otlp` and a running
    /// tokio runtime; the exporter also obeys the `OTEL_BSP_*` variables of its own standard.
    pub otlp: Option<OtlpEndpoint>,
}

impl TelemetryOptions {
    /// INFO and above as text without colors.
    pub fn new(service: &'static str) -> Self {
        Self {
            service,
            filter: LevelFilter::default(),
            format: Format::Text,
            color: Color::Never,
            otlp: None,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One line for people: time in UTC, level, module, message, fields.
    #[default]
    Text,
    /// One JSON object per line, with the same parts and `service`.
    Json,
}

/// Whether text carries terminal colors. The program decides: it knows what its output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// Plain text, for files and journals.
    #[default]
    Never,
    /// With colors, for a terminal.
    Always,
}

/// Which lines are logged: a level, or levels per module in the form of tracing's filters, such
/// as `info,provado_agent::executor=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelFilter(String);

/// An OpenTelemetry collector's address: `http://host:port`, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpEndpoint(String);

/// A configured value cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    /// The filter.
    #[error(
        "`{text}` is no log filter: give `error`, `warn`, `info`, `debug` or `trace`, \
         or levels per module such as `info,provado_agent=debug`"
    )]
    Filter {
        /// The text, cut to 64 characters.
        text: String,
    },
    /// The collector's address.
    #[error(
        "`{text}` is no collector's address: give `http://host:port`, such as \
         `http://127.0.0.1:4317`"
    )]
    Endpoint {
        /// The text, cut to 64 characters.
        text: String,
    },
    /// The format.
    #[error("`{text}` is no log format: give `text` or `json`")]
    Format {
        /// The text, cut to 64 characters.
        text: String,
    },
}

impl LevelFilter {
    pub(crate) fn build(&self) -> Result<EnvFilter, OptionError> {
        EnvFilter::builder()
            .parse(&self.0)
            .map_err(|_| filter_error(&self.0))
    }
}

impl Default for LevelFilter {
    fn default() -> Self {
        Self("info".into())
    }
}

impl FromStr for LevelFilter {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let text = text.trim();
        // The parser takes any word for the name of a module, so that `inof` would silence all.
        let has_level = text.split(',').all(|part| {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
            is_level(level.trim())
        });
        if text.len() > FILTER_BYTES_MAX || !has_level {
            return Err(filter_error(text));
        }
        let filter = Self(text.to_owned());
        filter.build()?;
        Ok(filter)
    }
}

impl fmt::Display for LevelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl OtlpEndpoint {
    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OtlpEndpoint {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let parts = text
            .strip_prefix("http://")
            .and_then(|rest| rest.rsplit_once(':'));
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        match parts {
            Some((host, port))
                if !host.is_empty()
                    && host.chars().all(is_host)
                    && port.parse().is_ok_and(|port: u16| port > 0) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(OptionError::Endpoint {
                text: text.chars().take(64).collect(),
            }),
        }
    }
}

impl FromStr for Format {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(OptionError::Format {
                text: other.chars().take(64).collect(),
            }),
        }
    }
}

fn is_level(word: &str) -> bool {
    ["off", "error", "warn", "info", "debug", "trace"]
        .iter()
        .any(|level| level.eq_ignore_ascii_case(word))
}

fn filter_error(text: &str) -> OptionError {
    OptionError::Filter {
        text: text.chars().take(64).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_levels_per_module() {
        for good in [
            "info",
            "WARN",
            "off",
            " debug ",
            "info,provado_agent=debug",
            "warn,provado_agent::executor=trace,h2=off",
            "info,provado_agent[run{id=1}]=debug",
        ] {
            let filter: LevelFilter = good.parse().unwrap();
            assert_eq!(filter.to_string(), good.trim());
        }
        let long = "info,".repeat(1000);
        for bad in [
            "",
            "inof",
            "info,",
            "provado_agent",
            "a=b",
            "info debug",
            &long,
        ] {
            let error = bad.parse::<LevelFilter>().unwrap_err();
            assert!(matches!(error, OptionError::Filter { .. }), "{bad}");
        }
    }

    #[test]
    fn a_collector_has_host_and_port_and_no_more() {
        for good in [
            "http://127.0.0.1:4317",
            "http://[::1]:4317",
            "http://otel:1",
        ] {
            let endpoint: OtlpEndpoint = good.parse().unwrap();
            assert_eq!(endpoint.as_str(), good);
        }
        for bad in [
            "",
            "127.0.0.1:4317",
            "https://otel:4317",
            "http://otel",
            "http://:4317",
            "http://otel:0",
            "http://otel:4317/",
            "http://user@otel:4317",
        ] {
            assert!(bad.parse::<OtlpEndpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn formats_are_two_words() {
        assert_eq!("text".parse::<Format>().unwrap(), Format::Text);
        assert_eq!("json".parse::<Format>().unwrap(), Format::Json);
        let error = "yaml".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("`yaml`") && error.contains("`json`"));
    }
}
