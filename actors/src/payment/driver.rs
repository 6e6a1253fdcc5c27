//! Asks the gateway what an order owes it, once, and says what to tell the order.
//!
//! The driver keeps no list of work: the order's `next_steps` is that list, and it survives a crash. Whoever runs the
//! order asks again after [`PaymentDriver::retry_delay_ms`] for as long as the step is owed.
//!
//! Invariant: a call that was started and not answered in time is reported as [`GatewayError::TimedOut`], never as
//! "nothing happened".

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::future::{Either, FutureExt as _, select};
use holdfast_core::order::{GatewayCall, GatewayKey, OrderCommand, SettlementOutcome};
use tokio::sync::Semaphore;

use super::{
    backoff::Backoff,
    port::{GatewayError, GatewayRequest, PaymentGateway, VoidOutcome},
    settings::PaymentSettings,
};
use crate::background::{Background, CurrentRuntime};

/// Makes gateway calls, a bounded number at a time, each within its time-out.
pub struct PaymentDriver {
    gateway: Arc<dyn PaymentGateway>,
    calls: Semaphore,
    attempt_timeout: Duration,
    backoff: Backoff,
    background: Arc<dyn Background>,
}

/// What an attempt yields: the command to send to the order the request is of.
type AttemptResult = Result<OrderCommand, GatewayError>;

/// An attempt that was begun.
pub enum Attempt {
    /// The gateway answered at once: no task, no timer.
    Answered(AttemptResult),
    /// It has yet to answer. Dropping this gives the attempt up: its outcome is then unknown.
    UnderWay(Pin<Box<dyn Future<Output = AttemptResult> + Send>>),
}

impl PaymentDriver {
    /// A driver of `gateway`.
    pub fn new(gateway: Arc<dyn PaymentGateway>, settings: &PaymentSettings) -> Self {
        Self {
            gateway,
            calls: Semaphore::new(settings.max_concurrent_calls.get().min(Semaphore::MAX_PERMITS)),
            attempt_timeout: Duration::from_millis(settings.attempt_timeout_ms.get()),
            backoff: Backoff::new(settings),
            background: Arc::new(CurrentRuntime),
        }
    }

    /// The same, waiting in `background`.
    #[must_use]
    pub fn waiting_in(self, background: Arc<dyn Background>) -> Self {
        Self { background, ..self }
    }

    /// Makes the call once and maps its answer to the command for the order.
    ///
    /// Waits for a free place first if `max_concurrent_calls` are under way; that wait is not part of the time-out.
    ///
    /// # Errors
    /// [`GatewayError::TimedOut`] after `attempt_timeout_ms`, or what the gateway reported.
    pub async fn attempt(&self, request: &GatewayRequest) -> AttemptResult {
        let _place =
            self.calls.acquire().await.map_err(|closed| GatewayError::Unavailable { reason: closed.to_string() })?;
        let mut call = std::pin::pin!(self.call(request));
        // A gateway that answers at the first poll costs no timer.
        if let Poll::Ready(answer) = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
            return answer;
        }
        match select(call, self.background.sleep(self.attempt_timeout)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(GatewayError::TimedOut),
        }
    }

    /// Begins an attempt where it is asked for, without a task: either it is answered at once, or the caller gets the
    /// rest of it to run. Needs a tokio runtime with timers around it.
    ///
    /// An adaptor that panics has told nothing: [`GatewayError::TimedOut`].
    pub fn begin(self: &Arc<Self>, request: GatewayRequest) -> Attempt {
        let driver = Arc::clone(self);
        let key = request.key;
        let attempt = AssertUnwindSafe(async move { driver.attempt(&request).await }).catch_unwind();
        let mut attempt: Pin<Box<dyn Future<Output = AttemptResult> + Send>> = Box::pin(attempt.map(move |told| {
            told.unwrap_or_else(|_| {
                tracing::error!(order = %key.order, call = ?key.call, "the adaptor to the payment gateway panicked");
                Err(GatewayError::TimedOut)
            })
        }));
        match attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Attempt::Answered(answer),
            Poll::Pending => Attempt::UnderWay(attempt),
        }
    }

    /// How long to wait after `failed` attempts in a row (from 1) under `key`, in milliseconds.
    pub fn retry_delay_ms(&self, key: GatewayKey, failed: u32) -> u64 {
        self.backoff.delay_ms(key, failed)
    }

    /// Whether the gateway answers where it is asked: [`PaymentGateway::answers_at_once`].
    pub fn answers_at_once(&self) -> bool {
        self.gateway.answers_at_once()
    }

    /// Tells the gateway which calls are about to be made: [`PaymentGateway::look_ahead`].
    pub fn look_ahead(&self, requests: &[GatewayRequest]) {
        if catch_unwind(AssertUnwindSafe(|| self.gateway.look_ahead(requests))).is_err() {
            tracing::error!("the adaptor to the payment gateway panicked while it looked ahead");
        }
    }

    /// How many further calls could start now without waiting.
    pub fn free_places(&self) -> usize {
        self.calls.available_permits()
    }

    async fn call(&self, request: &GatewayRequest) -> AttemptResult {
        match request.key.call {
            GatewayCall::Authorize => self.gateway.authorize(request).await.map(OrderCommand::RecordAuthorization),
            GatewayCall::Capture => self.gateway.capture(request).await.map(OrderCommand::RecordCapture),
            GatewayCall::Void => self.gateway.void(request).await.map(|outcome| match outcome {
                VoidOutcome::Voided => OrderCommand::RecordVoid,
                VoidOutcome::Captured => OrderCommand::RecordCapture(SettlementOutcome::Done),
            }),
            GatewayCall::Refund(refund) => {
                self.gateway.refund(request).await.map(|outcome| OrderCommand::RecordRefund { refund, outcome })
            }
        }
    }
}
