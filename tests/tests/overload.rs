//! More than the server can take, of orders and of connections: what it cannot sell it refuses early and cleanly, and
//! whoever does nothing takes nothing from whoever buys. How much and how fast is printed here and judged by `cargo xtask
//! overload`, on a machine that has nothing else to do.

use std::time::Duration;

use holdfast_tests::{
    House,
    purchase::buy,
    strain::{
        bystanders::{Bystanders, is_served},
        load::{Load, put_on},
        resident::{grown_mib, resident_bytes},
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_too_many_orders_are_refused_early_and_cleanly() -> anyhow::Result<()> {
    // So few permits that a hundred connections are too many.
    let house = House::with_settings(&[("RUNTIME__MAILBOX_PERMITS", "16")])?;
    let (pid, before) = (house.server()?.pid(), resident_bytes(house.server()?.pid())?);
    house.put_up("TEN", 10_000_000).await?;
    let peak = Load { connections: 16, duration: Duration::from_millis(1_500), rate: None };
    let peak = put_on(house.shop(), "TEN", peak).await?;
    assert!(peak.unclean.is_empty(), "{peak:?}");
    let (mut sold, mut shed) = (peak.sold, 0);
    for times in [2.0, 10.0] {
        let rate = Some(peak.goodput_per_s * times);
        let load = Load { connections: 192, duration: Duration::from_secs(2), rate };
        let outcome = put_on(house.shop(), "TEN", load).await?;
        println!(
            "{times} times {:.0}/s: {:.0}/s sold, {} shed, {} unsent, p99 {:.0} ms",
            peak.goodput_per_s, outcome.goodput_per_s, outcome.shed, outcome.unsent, outcome.latency.p99_ms
        );
        assert!(outcome.unclean.is_empty(), "neither an order nor a clean refusal: {:?}", outcome.unclean);
        assert!(outcome.sold > 0, "nothing was sold under overload");
        (sold, shed) = (sold + outcome.sold, shed + outcome.shed);
    }
    let grown_mib = grown_mib(pid, before)?;
    println!("resident memory +{grown_mib} MiB for {sold} orders");
    assert!(shed > 0, "no request was refused early");
    assert!(grown_mib < 256, "resident memory grew by {grown_mib} MiB");
    let units = house.settled_units("TEN").await?;
    assert!(units.balance() && units.taken() >= sold, "{units:?}, {sold} acknowledged");
    buy(house.shop(), &[("TEN", 1)], "tok_approve").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_buy_nothing_leave_the_buyers_alone() -> anyhow::Result<()> {
    // Each end of a connection is a descriptor here or there, and many systems give a process 1,024.
    const BYSTANDERS: usize = 400;
    let house = House::with_settings(&[("DEADLINES__HEADER_MS", "1000")])?;
    house.put_up("STAND", 1_000_000).await?;
    let address = house.shop().target().address();
    let load = Load { connections: 16, duration: Duration::from_secs(2), rate: Some(100.0) };
    let alone = put_on(house.shop(), "STAND", load).await?;
    let bystanders = Bystanders::gather(address, BYSTANDERS).await;
    assert_eq!(bystanders.connected(), BYSTANDERS, "the server has not let all of them in");
    let beside = put_on(house.shop(), "STAND", load).await?;
    println!(
        "p99 {:.1} ms alone, {:.1} ms beside {} idle and slow connections",
        alone.latency.p99_ms,
        beside.latency.p99_ms,
        bystanders.connected()
    );
    assert!(beside.unclean.is_empty() && beside.sold > 0 && beside.shed == 0, "{beside:?}");
    assert!(is_served(address).await?, "another connection was refused");
    bystanders.dismiss().await;
    Ok(())
}
