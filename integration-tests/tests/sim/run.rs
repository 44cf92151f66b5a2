//! One story from its seed to its end.

use crate::sabotage::Sabotage;
use crate::world::World;
use std::fmt;

/// Steps with faults.
pub(crate) const STEPS: usize = 500;
/// Steps told when something is wrong.
const TOLD_MAX: usize = 40;

/// A story in which an invariant did not hold.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) violation: String,
    pub(crate) log: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.log.len().saturating_sub(TOLD_MAX);
        writeln!(f, "{}", self.violation)?;
        writeln!(
            f,
            "after {} steps; PROVADO_SIM_SEED={} repeats it. The last ones:",
            self.log.len(),
            self.seed
        )?;
        for (index, step) in self.log.iter().enumerate().skip(told) {
            writeln!(f, "{index:5} {step}")?;
        }
        Ok(())
    }
}

/// Tells the story of a seed: its steps, or where it went wrong.
pub(crate) fn simulate(
    seed: u64,
    steps: usize,
    sabotage: Sabotage,
) -> Result<Vec<String>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, sabotage).await;
        match tell(&mut world, steps).await {
            Ok(()) => Ok(world.log),
            Err(violation) => Err(Failure {
                seed,
                violation,
                log: world.log,
            }),
        }
    })
}

async fn tell(world: &mut World, steps: usize) -> Result<(), String> {
    world.make_repositories().await?;
    world.calm_down().await?;
    for _ in 0..steps {
        world.step().await?;
    }
    world.calm_down().await
}
