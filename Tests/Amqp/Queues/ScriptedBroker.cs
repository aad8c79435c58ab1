using OrleansMq.Api;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>A broker whose queues and appends a test answers.</summary>
internal sealed class ScriptedBroker(IBroker inner) : ForwardingBroker(inner)
{
    /// <summary>The queues.</summary>
    public ScriptedQueues Script { get; } = ScriptedQueues.Of(inner.Queues);

    /// <summary>Called instead of an append, which it may forward; null: none is answered otherwise.</summary>
    public Func<TopicPartition, Func<ValueTask<ProduceResult>>, ValueTask<ProduceResult>>? Produce { get; set; }

    /// <summary>Called instead of a fetch, which it may forward.</summary>
    public Func<FetchRequest, Func<ValueTask<FetchResult>>, ValueTask<FetchResult>> Fetch { get; set; } = static (_, forward) => forward();

    public override IQueues Queues => (IQueues)(object)Script;

    public override ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
        CancellationToken cancellationToken = default) => Produce is { } produce
        ? produce(partition, () => base.ProduceAsync(partition, batch, acks, cancellationToken))
        : base.ProduceAsync(partition, batch, acks, cancellationToken);

    /// <summary>Is called before a topic is created, with its name.</summary>
    public Func<string, Task> Creates { get; set; } = static _ => Task.CompletedTask;

    public override async ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default)
    {
        await Creates(topic.Name);
        return await base.CreateTopicAsync(topic, cancellationToken);
    }

    public override ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) =>
        Fetch(request, () => base.FetchAsync(request, cancellationToken));
}
