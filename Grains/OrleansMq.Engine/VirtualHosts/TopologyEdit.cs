using System.Collections.Immutable;
using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>One change of a virtual host's exchanges, queues and bindings. The owner stores it, and sends it to all brokers, which apply it
/// to their image and routing table.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "edit")]
[JsonDerivedType(typeof(PutExchange), "putExchange")]
[JsonDerivedType(typeof(RemoveExchange), "removeExchange")]
[JsonDerivedType(typeof(PutQueue), "putQueue")]
[JsonDerivedType(typeof(RemoveQueue), "removeQueue")]
[JsonDerivedType(typeof(AddBinding), "addBinding")]
[JsonDerivedType(typeof(RemoveBinding), "removeBinding")]
[JsonDerivedType(typeof(PutConsumer), "putConsumer")]
[JsonDerivedType(typeof(DropConsumer), "dropConsumer")]
internal abstract record TopologyEdit;

/// <summary>An exchange is new, or changed.</summary>
internal sealed record PutExchange(ExchangeState Exchange) : TopologyEdit;

/// <summary>An exchange is gone. The edits before it removed its bindings.</summary>
internal sealed record RemoveExchange(ExchangeState Exchange) : TopologyEdit;

/// <summary>A queue is new.</summary>
internal sealed record PutQueue(QueueState Queue) : TopologyEdit;

/// <summary>A queue is gone. The edits before it removed its bindings.</summary>
internal sealed record RemoveQueue(QueueState Queue) : TopologyEdit;

/// <summary>A binding is new.</summary>
internal sealed record AddBinding(BindingState Binding) : TopologyEdit;

/// <summary>A binding is gone.</summary>
/// <param name="Binding">The binding.</param>
/// <param name="IsDead">Whether it went with its source or destination. Its shard may be written later: stored, it is not in force.</param>
internal sealed record RemoveBinding(BindingState Binding, bool IsDead) : TopologyEdit;

/// <summary>A consumer is new.</summary>
internal sealed record PutConsumer(QueueConsumer Consumer) : TopologyEdit;

/// <summary>A consumer is gone.</summary>
internal sealed record DropConsumer(QueueConsumer Consumer) : TopologyEdit;

/// <summary>
/// The decision on a command of a client: the refusal, or what changes. The owner writes <see cref="WritesBefore"/> in their order and then
/// answers; <see cref="WritesLater"/> it writes when it is idle, or with the shard's next change. A crash between two writes leaves what
/// <see cref="VirtualHostTopology.Load"/> and <see cref="VirtualHostTopology.EndUnboundExchanges"/> complete.
/// </summary>
internal sealed record TopologyDecision
{
    /// <summary>Why the command is refused; null if it is not.</summary>
    public AmqpRefusal? Refusal { get; private init; }

    /// <summary>What changes, in order; empty if nothing does.</summary>
    public ImmutableArray<TopologyEdit> Edits { get; private init; } = [];

    /// <summary>The topology afterwards.</summary>
    public VirtualHostTopology Next { get; private init; } = null!;

    /// <summary>The queue that the command concerned, where there is one.</summary>
    public QueueState? Queue { get; private init; }

    /// <summary>The shards to write before the answer, in order.</summary>
    public ImmutableArray<int> WritesBefore { get; private init; } = [];

    /// <summary>The shards that hold no more than bindings that are not in force.</summary>
    public ImmutableArray<int> WritesLater { get; private init; } = [];

    /// <summary>Whether the command is accepted.</summary>
    public bool IsAccepted => Refusal is null;

    /// <summary>Refuses a command.</summary>
    public static TopologyDecision Refuse(AmqpRefusal refusal, VirtualHostTopology current) => new() { Refusal = refusal, Next = current };

    /// <summary>Accepts a command that changes nothing.</summary>
    public static TopologyDecision Keep(VirtualHostTopology current, QueueState? queue = null) => new() { Next = current, Queue = queue };

    /// <summary>Accepts a command.</summary>
    public static TopologyDecision Accept(TopologyChanges changes, QueueState? queue = null) => new()
    {
        Edits = [.. changes.Edits],
        Next = changes.Next,
        Queue = queue,
        WritesBefore = [.. changes.Before.Distinct()],
        WritesLater = [.. changes.Later.Distinct().Except(changes.Before)],
    };
}

/// <summary>Collects the edits of one command, with the shards that they change.</summary>
internal sealed class TopologyChanges(VirtualHostTopology start)
{
    /// <summary>The edits so far.</summary>
    public List<TopologyEdit> Edits { get; } = [];

    /// <summary>The shards to write before the answer, in order.</summary>
    public List<int> Before { get; } = [];

    /// <summary>The shards to write at any time.</summary>
    public List<int> Later { get; } = [];

    /// <summary>The topology after the edits so far.</summary>
    public VirtualHostTopology Next { get; private set; } = start;

    /// <summary>Adds an edit.</summary>
    public void Add(TopologyEdit edit)
    {
        switch (edit)
        {
            case PutExchange { Exchange: { Durable: true } exchange }:
                Before.Add(VirtualHostShard.Of(exchange.Name));
                break;
            case RemoveExchange { Exchange: { Durable: true } exchange }:
                Before.Add(VirtualHostShard.Of(exchange.Name));
                break;
            case PutQueue { Queue: { Durable: true } queue }:
                Before.Add(VirtualHostShard.Of(queue.Name));
                break;
            case RemoveQueue { Queue: { Durable: true } queue }:
                Before.Add(VirtualHostShard.Of(queue.Name));
                break;
            case AddBinding { Binding: var binding } when Next.IsDurable(binding):
                Before.Add(VirtualHostShard.Of(binding));
                break;
            case RemoveBinding { Binding: var binding, IsDead: var isDead } when Next.IsDurable(binding):
                (isDead ? Later : Before).Add(VirtualHostShard.Of(binding));
                break;
        }
        Edits.Add(edit);
        Next = Next.Apply(edit);
    }
}
