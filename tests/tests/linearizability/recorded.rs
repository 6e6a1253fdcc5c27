//! Histories of the real server.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use holdfast_tests::{
    House,
    dice::Dice,
    linearizability::{
        Check, History, Trial,
        model::{AdjustAnswer, CancelAnswer, CheckoutAnswer, Operation, Seen},
        scenario::{Trouble, play, put_up, quarrel},
        shopper::Manners,
        trial::CONFIGURATIONS,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_history_of_concurrent_clients_has_an_order_that_explains_it() -> anyhow::Result<()> {
    let report = Trial { seed: 1, histories: 21 }.run(|_| ()).await?;
    println!("{}", serde_json::to_string(&report)?);
    assert_eq!((report.violations, report.undecided), (0, 0), "{}", report.first_failure.unwrap_or_default());
    assert!(report.unanswered > 0 && report.kills > 0, "nothing went wrong: {} operations", report.operations);
    Ok(())
}

/// Makes an answer wrong, if it is one that this knows how to spoil.
type Spoiler = fn(&mut Operation) -> bool;

/// Changes the last operation that `change` knows how to spoil.
fn spoiled(history: &History, change: Spoiler) -> Option<History> {
    let mut spoiled = history.clone();
    let records = spoiled.records.iter_mut().rev();
    records.map(|record| &mut record.timed.operation).any(change).then_some(spoiled)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wrong_answer_in_a_real_history_is_refused() -> anyhow::Result<()> {
    let mut house = House::open()?;
    let spoilers: [(&str, Spoiler); 5] = [
        ("one unit too many", |operation| match operation {
            Operation::ReadLevel(level) => {
                level.available += 1;
                true
            }
            _ => false,
        }),
        ("a sale told as a replay", |operation| match operation {
            Operation::Checkout { answer, .. } if *answer == Some(CheckoutAnswer::Placed) => {
                *answer = Some(CheckoutAnswer::Replayed);
                true
            }
            _ => false,
        }),
        ("an order that is gone", |operation| match operation {
            Operation::ReadOrder { seen, .. } if *seen != Seen::Absent => {
                *seen = Seen::Absent;
                true
            }
            _ => false,
        }),
        ("an adjustment that counted for nothing", |operation| match operation {
            Operation::Adjust { delta, answer: Some(AdjustAnswer::Done(_)) } => {
                *delta += 1;
                true
            }
            _ => false,
        }),
        ("a cancel that was refused for no reason", |operation| match operation {
            Operation::Cancel { answer, .. } if *answer == Some(CancelAnswer::Canceled) => {
                *answer = Some(CancelAnswer::Refused);
                true
            }
            _ => false,
        }),
    ];
    let mut refused = BTreeMap::new();
    // Until every kind of answer has occurred; a few histories are enough.
    for number in 0..50 {
        if refused.len() == spoilers.len() && number >= 4 {
            break;
        }
        let history = play(&mut house, Trouble::None, Dice::new(2).part(number)).await?;
        assert_eq!(history.check(CONFIGURATIONS), Check::Linearizable);
        for (name, spoiler) in spoilers {
            let Some(spoiled) = spoiled(&history, spoiler) else { continue };
            let found = spoiled.check(CONFIGURATIONS);
            assert!(matches!(found, Check::Violation { .. }), "{name} was not seen in history {number}: {found:?}");
            *refused.entry(name).or_insert(0) += 1;
        }
    }
    println!("wrong answers refused: {refused:?}");
    assert_eq!(refused.len(), spoilers.len(), "some kind of answer never occurred: {refused:?}");
    Ok(())
}

/// Too long to be searched as a whole: every order is checked by itself, and what must add up does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sums_of_a_long_history_add_up() -> anyhow::Result<()> {
    const UNITS: u64 = 40;
    let mut house = House::open()?;
    let counter = put_up(house.shop(), UNITS, None).await?;
    let manners = Manners { moves: 120, pause_us: 4_000, hang_ups: 15, declines: 15, unpaid: 0 };
    let dice = Dice::new(3);
    let clients = quarrel(&counter, manners, 8, &dice);
    let killing = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(350)).await;
            house.restart().await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(clients, killing)?;
    counter.repeat_unanswered().await?;
    let units = house.settled_units(counter.sku()).await?;
    let before_close = counter.history().records.len();
    counter.close().await?;
    let history = counter.history();
    let (bought, standing) = (bought(&history), standing(&history, before_close));
    println!(
        "{} operations, {} unanswered; {} orders acknowledged, {} stand; {units:?}",
        history.records.len(),
        history.unanswered(),
        bought.len(),
        standing.len()
    );
    assert!(history.unanswered() > 0 && !standing.is_empty(), "nothing went wrong");
    assert_eq!(history.check_orders(CONFIGURATIONS), Check::Linearizable);
    assert!(units.balance() && units.held == 0, "{units:?}");
    assert_eq!(units.allocated, standing.iter().filter_map(|order| bought.get(order)).sum::<u64>(), "{units:?}");
    let (least, most) = adjustments(&history);
    let on_hand = i128::from(units.on_hand) - i128::from(UNITS);
    assert!((least..=most).contains(&on_hand), "{on_hand:+} units, where {least:+} to {most:+} were asked for");
    Ok(())
}

/// The units of every order that was acknowledged.
fn bought(history: &History) -> BTreeMap<usize, u64> {
    let orders = history.records.iter().filter_map(|record| match record.timed.operation {
        Operation::Checkout { order, units, answer: Some(CheckoutAnswer::Placed | CheckoutAnswer::Replayed) } => {
            Some((order, units))
        }
        _ => None,
    });
    orders.collect()
}

/// The orders that stood at the end: what was read from record `from` on.
fn standing(history: &History, from: usize) -> BTreeSet<usize> {
    let read = history.records.iter().skip(from).filter_map(|record| match record.timed.operation {
        Operation::ReadOrder { order, seen: Seen::Live } => Some(order),
        _ => None,
    });
    read.collect()
}

/// The least and the most units that adjustments can have added: an unanswered one may have counted or not.
fn adjustments(history: &History) -> (i128, i128) {
    let (mut least, mut most) = (0, 0);
    for record in &history.records {
        let Operation::Adjust { delta, answer } = record.timed.operation else { continue };
        let delta = i128::from(delta);
        match answer {
            Some(AdjustAnswer::Done(_)) => (least, most) = (least + delta, most + delta),
            Some(AdjustAnswer::Below { .. }) => {}
            None => (least, most) = (least + delta.min(0), most + delta.max(0)),
        }
    }
    (least, most)
}
