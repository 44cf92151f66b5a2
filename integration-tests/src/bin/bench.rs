//! `make bench`: the figures of `docs/benchmarks.md`, measured on this machine.
//!
//! `bench [--quick] [--scale FACTOR] [--rounds N] [--runs N] [--only PART[,PART...]] [--out FILE]`
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use anyhow::{Context as _, Result, bail};
use provado_integration_tests::bench::{Options, run};
use std::process::ExitCode;

fn main() -> Result<ExitCode> {
    let options = parse(std::env::args().skip(1))?;
    let report = run(&options)?;
    let text = report.markdown();
    println!("\n{text}");
    if let Some(file) = &options.out {
        std::fs::write(file, &text).with_context(|| format!("writing {}", file.display()))?;
    }
    println!("{} bars were missed", report.missed());
    Ok(if report.is_complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Options> {
    let arguments: Vec<String> = arguments.collect();
    let mut options = if arguments.iter().any(|a| a == "--quick") {
        Options::quick()
    } else {
        Options::full()
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--quick" {
            continue;
        }
        let value = rest
            .next()
            .with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--scale" => options.scale = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--runs" => options.dispatch_runs = value.parse()?,
            "--only" => options.only = value.split(',').map(str::to_owned).collect(),
            "--out" => options.out = Some(value.into()),
            other => bail!("unknown argument {other}"),
        }
    }
    Ok(options)
}
