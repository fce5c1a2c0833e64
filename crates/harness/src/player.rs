//! Plays a scenario from top to bottom and says where it failed, with everything that helps.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use crate::answer::bytes_of;
use crate::listens::Listens;
use crate::origin::{Body, Reply};
use crate::patience::patience;
use crate::scenario::{Apply, OriginReply, Outcome, Probe, Scenario, Step};
use crate::world::World;
use crate::{exchange, exchange_frames, expect};

/// Plays one scenario against the binary. The error says the step, the response, the records and the edge's log.
pub async fn play(binary: &Path, scenario: &Scenario) -> Result<()> {
    let world = Arc::new(World::build(binary, scenario).await?);
    let tasks = tokio::task::LocalSet::new();
    let whole = async {
        for (number, step) in scenario.play.iter().enumerate() {
            one(&world, scenario, step)
                .await
                .with_context(|| format!("step {}: {}", number + 1, brief(step)))?;
        }
        let names: Vec<String> = world.begun.lock().await.keys().cloned().collect();
        for name in names {
            join(&world, &name).await?;
        }
        let verdicts = world.judge();
        ensure!(
            verdicts.is_empty(),
            "what reached an origin is not valid:\n{}",
            verdicts.join("\n")
        );
        Ok(())
    };
    let outcome: Result<()> = tasks.run_until(whole).await;
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => bail!("{}\n{}", told(&error), world.circumstances().await),
    }
}

/// An error with all its causes, one a line, without the stack of the test.
pub fn told(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n  because: ")
}

fn brief(step: &Step) -> String {
    let text = format!("{step:?}");
    // Most of a step's keys are not set; a reader looks for those that are.
    text.split(", ")
        .filter(|part| !is_unset(part))
        .collect::<Vec<_>>()
        .join(", ")
}

fn is_unset(part: &str) -> bool {
    [
        ": None",
        ": false",
        ": []",
        ": {}",
        ": Lines([])",
        ": Strings([])",
    ]
    .iter()
    .any(|end| part.ends_with(end))
}

fn one<'a>(
    world: &'a Arc<World>,
    scenario: &'a Scenario,
    step: &'a Step,
) -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + 'a>> {
    Box::pin(async move {
        match step {
            Step::Origin(reply) => world.origin(&reply.name)?.reply(reply_of(world, reply)?),
            Step::Fault(fault) => {
                let origin = world.origin(&fault.at)?;
                origin.take_on(fault.what, fault.times);
                if fault.what.on_accept().is_none() {
                    origin.settled().await?;
                }
            }
            Step::Get(get) | Step::Request(get) => exchange::get(world, get).await?,
            Step::Raw(raw) => exchange::raw(world, raw).await?,
            Step::Frames(frames) => exchange_frames::frames(world, frames).await?,
            Step::Tunnel(tunnel) => exchange::tunnel(world, tunnel).await?,
            Step::Through(step) => exchange::through(world, step).await?,
            Step::Together(steps) => together(world, scenario, steps).await?,
            Step::Repeat(repeat) => {
                for turn in 1..=repeat.times {
                    world.keep("turn", turn.to_string());
                    all(world, scenario, &repeat.play)
                        .await
                        .with_context(|| format!("turn {turn}"))?;
                }
            }
            Step::Each(each) => {
                for value in &each.of {
                    world.keep(&each.name, world.fill(value)?);
                    all(world, scenario, &each.play)
                        .await
                        .with_context(|| format!("with {} {value:?}", each.name))?;
                }
            }
            Step::Until(until) => {
                let start = std::time::Instant::now();
                while let Some(wanting) = expect::wanting(world, until).await? {
                    ensure!(start.elapsed() < patience(), "{wanting}");
                    all(world, scenario, &until.play).await?;
                }
            }
            Step::Begin(begin) => {
                let task = spawn(world, scenario, begin.play.clone());
                world.begun.lock().await.insert(begin.name.clone(), task);
            }
            Step::Join(name) => join(world, name).await?,
            Step::Release(release) => world.origin(&release.at)?.open_gate(&release.gate),
            Step::Forget(name) => world.origin(name)?.forget(),
            Step::Expect(expected) => expect::everything(world, expected).await?,
            Step::Write(write) => world.write(&write.file, &write.text)?,
            Step::Apply(apply) => change(world, scenario, apply).await?,
            Step::Signal(name) => world.edge.signal(name).await?,
            Step::Ends(code) => {
                let ended = world.edge.ended().await?;
                ensure!(
                    ended == Some(*code),
                    "the edge ended with {ended:?}, not {code}"
                );
            }
        }
        Ok(())
    })
}

async fn all(world: &Arc<World>, scenario: &Scenario, steps: &[Step]) -> Result<()> {
    for step in steps {
        one(world, scenario, step)
            .await
            .with_context(|| brief(step))?;
    }
    Ok(())
}

fn spawn(
    world: &Arc<World>,
    scenario: &Scenario,
    steps: Vec<Step>,
) -> tokio::task::JoinHandle<Result<()>> {
    let (world, scenario) = (world.clone(), scenario.clone());
    tokio::task::spawn_local(async move { all(&world, &scenario, &steps).await })
}

async fn together(world: &Arc<World>, scenario: &Scenario, steps: &[Step]) -> Result<()> {
    let tasks: Vec<_> = steps
        .iter()
        .map(|step| spawn(world, scenario, vec![step.clone()]))
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn join(world: &World, name: &str) -> Result<()> {
    let Some(task) = world.begun.lock().await.remove(name) else {
        bail!("nothing was begun as {name}")
    };
    task.await?.with_context(|| format!("begun as {name}"))
}

fn reply_of(world: &World, step: &OriginReply) -> Result<Reply> {
    let mut reply = Reply {
        path: step.path.clone(),
        status: step.status.unwrap_or(200),
        chunked: step.chunked || !step.trailers.0.is_empty(),
        trailers: step.trailers.0.clone(),
        informational: step.informational.clone(),
        gate: step.gate.clone(),
        body_gate: step.body_gate.clone(),
        close: step.close,
        tunnel: step.tunnel,
        listens: Listens {
            ranges: step.ranges,
            reflects: step.reflects.clone(),
            refuses_longer: step.refuses_longer,
            refuses_field: step.refuses_field.clone(),
        },
        ..Reply::default()
    };
    reply.fields.clear();
    if !step
        .headers
        .0
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        reply
            .fields
            .push(("content-type".into(), "text/plain".into()));
    }
    for (name, value) in &step.headers.0 {
        reply.fields.push((name.clone(), world.fill(value)?));
    }
    if let Some(body) = &step.body {
        reply.body = Body::Bytes(bytes_of(&world.fill(body)?));
    }
    if let Some(size) = step.body_size {
        reply.body = Body::Pattern(size, step.body_from);
    }
    if let Some(raw) = &step.raw {
        reply.raw = Some(bytes_of(&world.fill(raw)?));
    }
    Ok(reply)
}

/// Writes another configuration, tells the edge, and waits for what comes of it.
async fn change(world: &World, scenario: &Scenario, apply: &Apply) -> Result<()> {
    let text = scenario
        .versions
        .get(&apply.version)
        .with_context(|| format!("no version {}", apply.version))?;
    world.edge.reload(&world.fill(text)?).await?;
    match apply.outcome {
        Outcome::Accepted => {
            let probe = apply
                .probe
                .as_ref()
                .context("an accepted change needs a probe that tells it is there")?;
            until_probe(world, probe).await
        }
        Outcome::Refused => {
            ensure!(
                !apply.because.0.is_empty(),
                "a refused change needs `because`, found in the edge's log"
            );
            let expect = crate::scenario::Expect {
                log: apply.because.clone(),
                ..Default::default()
            };
            expect::everything(world, &expect).await
        }
    }
}

async fn until_probe(world: &World, probe: &Probe) -> Result<()> {
    let start = std::time::Instant::now();
    let get = crate::scenario::Get {
        url: probe.url.clone(),
        expected: crate::scenario::Expected {
            status: Some(probe.status.clone()),
            body_contains: probe.body_contains.clone(),
            ..Default::default()
        },
        ..Default::default()
    };
    loop {
        let outcome = exchange::get(world, &get).await;
        match outcome {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > patience() => {
                return Err(error.context("the change never came"));
            }
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}
