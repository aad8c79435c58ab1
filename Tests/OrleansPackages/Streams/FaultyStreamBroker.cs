using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>The broker of a silo whose stream providers a test lets lose answers.</summary>
internal sealed class FaultyStreamBroker(IBroker inner) : ForwardingBroker(inner)
{
    private readonly IBroker _inner = inner;
    private readonly Lazy<FaultyStreamQueues> _queues = new(() => new FaultyStreamQueues(inner.Queues));

    /// <summary>Its queues.</summary>
    public FaultyStreamQueues FaultyQueues => _queues.Value;

    public override IQueues Queues => _queues.Value;

    /// <summary>Carries out the writes to topics of subscriptions; null: they are carried out.</summary>
    public Func<Func<Task<ProduceResult>>, Task<ProduceResult>>? OnWrite { get; set; }

    /// <summary>The topic whose ends cannot be proven; null: none.</summary>
    public string? Unproven { get; set; }

    /// <summary>Finds the ends of topics' partitions; null: they are found.</summary>
    public Func<TopicPartition, OffsetSpec, Func<Task<OffsetResult>>, Task<OffsetResult>>? OnFindOffset { get; set; }

    /// <summary>Puts it in the place of a silo's broker.</summary>
    /// <param name="silo">The silo.</param>
    /// <param name="made">Takes it when the silo starts.</param>
    public static void AddTo(ISiloBuilder silo, Action<FaultyStreamBroker> made)
    {
        var registered = silo.Services.Last(static service => service.ServiceType == typeof(IBroker));
        silo.Services.AddSingleton<IBroker>(services =>
        {
            var broker = new FaultyStreamBroker((IBroker)registered.ImplementationFactory!(services));
            made(broker);
            return broker;
        });
    }

    public override ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default) =>
        OnWrite is { } carryOut && partition.Topic.StartsWith("__streams.", StringComparison.Ordinal)
            ? new(carryOut(() => _inner.ProduceAsync(partition, batch, acks, cancellationToken).AsTask()))
            : base.ProduceAsync(partition, batch, acks, cancellationToken);

    public override ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec,
        CancellationToken cancellationToken = default) => partition.Topic == Unproven && spec == OffsetSpec.LatestProven
        ? new(new OffsetResult(ErrorCode.OffsetNotAvailable, -1, Message: "Not yet."))
        : OnFindOffset is { } find ? new(find(partition, spec, () => base.FindOffsetAsync(partition, spec, cancellationToken).AsTask()))
        : base.FindOffsetAsync(partition, spec, cancellationToken);
}
