use super::*;
use provado_model::time::{ManualClock, SystemClock};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Reports each activation and follows a script of outcomes; after its end it is idle.
struct Scripted {
    calls: AtomicU32,
    seen: UnboundedSender<u32>,
    script: fn(u32) -> Result<Activity, Error>,
}

#[async_trait]
impl Task for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn period(&self) -> Duration {
        Duration::from_mins(1)
    }

    async fn activate(&self) -> Result<Activity, Error> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.seen.send(call).unwrap();
        (self.script)(call)
    }
}

struct Running {
    waker: Waker,
    health: Health,
    seen: UnboundedReceiver<u32>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

fn start(script: fn(u32) -> Result<Activity, Error>) -> Running {
    let (sender, seen) = unbounded_channel();
    let mut supervisor = Supervisor::new();
    let waker = supervisor.add(Arc::new(Scripted {
        calls: AtomicU32::new(0),
        seen: sender,
        script,
    }));
    let health = supervisor.health();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(supervisor.run(SystemClock::shared(), stop.clone()));
    Running {
        waker,
        health,
        seen,
        stop,
        tasks,
    }
}

impl Running {
    /// The virtual time until the next activation.
    async fn next(&mut self) -> Duration {
        let before = virtual_now();
        self.seen.recv().await.unwrap();
        virtual_now() - before
    }

    async fn end(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "reads the paused clock of the test's runtime"
)]
fn virtual_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[tokio::test(start_paused = true)]
async fn it_runs_at_once_then_by_period_and_at_a_wake_up() {
    let mut running = start(|_| Ok(Activity::Done));
    assert_eq!(running.next().await, Duration::ZERO);
    assert_eq!(running.next().await, Duration::from_mins(1));
    running.waker.wake();
    assert_eq!(running.next().await, Duration::ZERO);
    assert!(running.health.is_fit(SystemClock::shared().now()));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn more_work_runs_on_without_a_wait() {
    let mut running = start(|call| {
        Ok(if call < 3 {
            Activity::More
        } else {
            Activity::Idle
        })
    });
    for _ in 0..4 {
        assert_eq!(running.next().await, Duration::ZERO);
    }
    assert_eq!(running.next().await, Duration::from_mins(1));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_back_off_and_wake_ups_do_not_shorten_it() {
    let mut running = start(|call| match call {
        0 => Err(Error::internal("broken")),
        1 => panic!("a bug"),
        _ => Ok(Activity::Idle),
    });
    assert_eq!(running.next().await, Duration::ZERO);
    running.waker.wake();
    let rounded = |span: Duration| (span.as_secs_f64() * 10.0).round() / 10.0;
    assert!((rounded(running.next().await) - 0.5).abs() < 0.01);
    assert!((rounded(running.next().await) - 1.0).abs() < 0.01);
    // The wake-up that came meanwhile is still known.
    assert_eq!(running.next().await, Duration::ZERO);
    running.end().await;
}

#[test]
fn back_off_doubles_up_to_a_bound() {
    assert_eq!(back_off(1), BACK_OFF_MIN);
    assert_eq!(back_off(2), BACK_OFF_MIN * 2);
    assert_eq!(back_off(u32::MAX), BACK_OFF_MAX);
}

#[test]
fn a_task_that_did_not_run_for_two_periods_is_not_fit() {
    let clock = ManualClock::at_second(1_000);
    let health = Health::default();
    health.add("dispatch", Duration::from_secs(30));
    assert!(!health.is_fit(clock.now()));
    health.ran("dispatch", clock.now());
    clock.advance(jiff::SignedDuration::from_mins(1));
    assert!(health.is_fit(clock.now()));
    clock.advance(jiff::SignedDuration::from_secs(1));
    assert!(!health.is_fit(clock.now()));
    health.ran("dispatch", clock.now());
    health.failed("dispatch", &Error::internal("x"));
    assert!(!health.is_fit(clock.now()));
}
