//! What one side does in one turn, and how it is summed up.

use std::time::Duration;

use super::{Failure, Log, Stepper, now};
use crate::{proc, quantile};

/// What one side did in one turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    /// Steps.
    pub per_second: f64,
    /// Microseconds that half of the steps took at most.
    pub p50: u64,
    /// And all but one in a hundred.
    pub p99: u64,
    /// Microseconds of this process's processor time a step.
    pub cpu: f64,
}

/// All steppers at once, each with one step at a time.
pub async fn steps(
    steppers: Vec<Stepper>,
    window: Duration,
) -> Result<(Turn, Vec<Stepper>), Failure> {
    let (start, cpu) = (now(), proc::cpu_us(std::process::id()));
    let tasks: Vec<_> = steppers
        .into_iter()
        .map(|mut stepper| {
            tokio::spawn(async move {
                let mut micros = Vec::new();
                while start.elapsed() < window {
                    let sent = now();
                    stepper.step().await?;
                    micros.push(u64::try_from(sent.elapsed().as_micros())?);
                }
                Ok::<_, Failure>((stepper, micros))
            })
        })
        .collect();
    let (mut back, mut micros) = (Vec::new(), Vec::new());
    for task in tasks {
        let (stepper, own) = task.await??;
        back.push(stepper);
        micros.extend(own);
    }
    Ok((turn(micros, start.elapsed(), cpu), back))
}

/// The same over the bare log.
pub async fn appends(log: &Log, writers: usize, window: Duration) -> Result<Turn, Failure> {
    let (start, cpu) = (now(), proc::cpu_us(std::process::id()));
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut micros = Vec::new();
                while start.elapsed() < window {
                    let sent = now();
                    log.append().await?;
                    micros.push(u64::try_from(sent.elapsed().as_micros())?);
                }
                Ok::<_, Failure>(micros)
            })
        })
        .collect();
    let mut micros = Vec::new();
    for task in tasks {
        micros.extend(task.await??);
    }
    Ok(turn(micros, start.elapsed(), cpu))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
fn turn(mut micros: Vec<u64>, elapsed: Duration, cpu_before: u64) -> Turn {
    micros.sort_unstable();
    let used = proc::cpu_us(std::process::id()) - cpu_before;
    Turn {
        per_second: micros.len() as f64 / elapsed.as_secs_f64(),
        p50: quantile(&micros, 0.5),
        p99: quantile(&micros, 0.99),
        cpu: used as f64 / micros.len().max(1) as f64,
    }
}

/// The median.
pub fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
