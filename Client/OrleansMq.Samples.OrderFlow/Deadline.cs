using OrleansMq.Timers;

namespace OrleansMq.Samples.OrderFlow;

/// <summary>The deadline of an order; its key is the order's id.</summary>
public interface IDeadline : IGrainWithStringKey;

/// <summary>
/// The timer: cancels an order that is not decided in time. The timer waits in the brokers, not in this grain, and its message comes until
/// the order has taken it. It may come twice, so <see cref="IOrder.ExpireAsync"/> may be called twice.
/// </summary>
public sealed class Deadline : Grain, IDeadline, IDurableTimerHandler<PaymentDue>
{
    /// <inheritdoc/>
    public Task HandleTimerAsync(PaymentDue message, FiredTimer timer, CancellationToken cancellationToken) =>
        GrainFactory.GetGrain<IOrder>(this.GetPrimaryKeyString()).ExpireAsync();
}
