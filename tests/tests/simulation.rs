//! Sixty days of an unattended server, on a faked clock.

use anyhow::{Result, ensure};
use cofre_tests::simulation;

#[test]
fn sixty_days_lose_nothing_claim_nothing_false_and_tell_what_must_be_told() -> Result<()> {
    let outcome = simulation::run(60, |line| println!("{line}"))?;
    ensure!(outcome.wrong.is_empty(), "{outcome:#?}");
    ensure!(outcome.runs >= 55 && outcome.alerts_sent > outcome.runs, "{outcome:#?}");
    Ok(())
}
