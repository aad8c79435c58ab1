using Orleans.Placement;
using Orleans.Streams.Core;
using OrleansMq.Consumers;
using OrleansMq.Tests.OrleansPackages.Streams;
using OrleansMq.Tests.OrleansPackages.Timers;
using OrleansMq.Timers;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

public interface ILossyGrain : IGrainWithStringKey
{
    /// <summary>Returns the silo of the activation: the one that called first.</summary>
    Task<SiloAddress> PlaceAsync();

    /// <summary>Keeps the grain busy until <see cref="LossyGrain.Free"/>.</summary>
    Task WorkAsync();
}

/// <summary>Receives records, events and timers. Their requests or answers may be lost.</summary>
[Consumes(Records), ImplicitStreamSubscription(Events), PreferLocalPlacement]
public sealed class LossyGrain : Grain, ILossyGrain, IGrainConsumer<Ordered>, IDurableTimerHandler<Ping>, IStreamSubscriptionObserver
{
    public const string Records = "consume-lossy";
    public const string Events = "lossy-events";

    internal static TaskCompletionSource Free { get; set; } = new();

    internal static TaskCompletionSource Began { get; set; } = new();

    public Task<SiloAddress> PlaceAsync() => Task.FromResult(((IGrainBase)this).GrainContext.Address.SiloAddress!);

    public Task WorkAsync()
    {
        Began.TrySetResult();
        return Free.Task;
    }

    public Task ConsumeAsync(Ordered value, ConsumedRecord record, CancellationToken cancellationToken) =>
        ConsumerScript.ReceiveAsync(this, value.Number, record, cancellationToken);

    public Task HandleTimerAsync(Ping message, FiredTimer timer, CancellationToken cancellationToken) =>
        TimerScript.ReceiveAsync(this, message.Number, timer, cancellationToken);

    public Task OnSubscribed(IStreamSubscriptionHandleFactory handleFactory) =>
        handleFactory.Create<Happened>().ResumeAsync(new TestObserver(handleFactory.StreamId, this));
}
