using OrleansMq.Access;
using OrleansMq.Clusters;
using OrleansMq.Topics;

namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>A partition that was opened for a client, or the reason why not, and the broker that leads it.</summary>
/// <param name="Partition">Open where this broker leads it and the client may use it.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why it is not open.</param>
/// <param name="Leader">The broker that leads it; -1 where that is not known.</param>
/// <param name="LeaderEpoch">The epoch of that leader; -1 where that is not known.</param>
/// <param name="Message">On error: what to do.</param>
internal readonly record struct LocatedPartition(OpenedPartition Partition, ErrorCode Error, int Leader, int LeaderEpoch, string? Message)
{
    public static LocatedPartition Failed(ErrorCode error, string message) => new(default, error, -1, -1, message);
}

/// <summary>Finds the partitions that requests name, and opens those that this broker leads. Thread safe.</summary>
internal sealed class PartitionLocator(BrokerAccess access, IClusterMetadata metadata, int self)
{
    /// <summary>The topic's name; null where no topic that is served has the id.</summary>
    public string? NameOf(Guid topicId) =>
        metadata.Image.Topics.TryGetValue(topicId, out var topic) && topic.Status == TopicStatus.Active ? topic.Name : null;

    /// <summary>Whether an append of a compressed batch decompresses it, in a partition that this broker leads.</summary>
    public bool Decompresses(string? topic, Guid topicId, int number) =>
        (topic ?? NameOf(topicId)) is { } known && access.TryDescribe(new TopicPartition(known, number), topicId, out var found)
            && found.Decompresses;

    /// <summary>Finds a partition in memory, and opens it where this broker leads it.</summary>
    /// <param name="session">The client.</param>
    /// <param name="operation">What the client is to do with it. <see cref="AccessOperation.Alter"/> is what an operator of the cluster may
    /// do, whatever the topic.</param>
    /// <param name="topic">The topic's name; null where the request named an id.</param>
    /// <param name="topicId">The topic's id; empty where the request named a name.</param>
    /// <param name="number">The partition's number.</param>
    /// <param name="found">What was found.</param>
    /// <returns>False where it should be led here but is not active yet: <see cref="ActivateAsync"/> finds out.</returns>
    public bool TryFind(SessionAccess session, AccessOperation operation, string? topic, Guid topicId, int number,
        out LocatedPartition found)
    {
        if ((topic ?? NameOf(topicId)) is not { } known)
        {
            found = LocatedPartition.Failed(ErrorCode.UnknownTopicId, $"No topic has the id {topicId}.");
            return true;
        }
        var name = new TopicPartition(known, number);
        return TryOpen(session, operation, name, topicId, out found) || TryRefuse(name, out found);
    }

    /// <summary>Activates a partition that should be led here, and opens it.</summary>
    public async ValueTask<LocatedPartition> ActivateAsync(SessionAccess session, AccessOperation operation, string? topic, Guid topicId,
        int number, CancellationToken cancellationToken)
    {
        if ((topic ?? NameOf(topicId)) is not { } known)
            return LocatedPartition.Failed(ErrorCode.UnknownTopicId, $"No topic has the id {topicId}.");
        var name = new TopicPartition(known, number);
        // Any call activates it; this one changes nothing.
        var woken = await session.Broker.FindOffsetAsync(name, OffsetSpec.Earliest, cancellationToken).ConfigureAwait(false);
        if (TryOpen(session, operation, name, topicId, out var opened))
            return opened;
        if (woken.Error != ErrorCode.None)
            return LocatedPartition.Failed(woken.Error, woken.Message ?? "");
        return TryRefuse(name, out var refused) ? refused
            : LocatedPartition.Failed(ErrorCode.NotLeaderOrFollower,
                $"Partition {name} is led by another broker. Refresh the metadata and retry.");
    }

    // True where the answer is final: open, or refused. Alter is an operator's: a matter of the cluster, whatever the topic.
    private bool TryOpen(SessionAccess session, AccessOperation operation, TopicPartition name, Guid topicId, out LocatedPartition found)
    {
        if (operation == AccessOperation.Alter ? session.TryOpenAsOperator(name, topicId, out var opened, out var refusal)
            : session.TryOpen(name, topicId, operation, out opened, out refusal))
        {
            found = new LocatedPartition(opened, ErrorCode.None, self, opened.LeaderEpoch, null);
            return true;
        }
        if (refusal == ErrorCode.None)
        {
            found = default;
            return false;
        }
        found = LocatedPartition.Failed(refusal, refusal == ErrorCode.ClusterAuthorizationFailed
            ? session.RefusalOf(operation, ResourceType.Cluster) : session.RefusalOf(operation, ResourceType.Topic, name.Topic));
        return true;
    }

    private bool TryRefuse(TopicPartition name, out LocatedPartition refused)
    {
        if (metadata.Image.FindServed(name.Topic) is not { } topic)
        {
            refused = LocatedPartition.Failed(ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownTopic(name.Topic));
            return true;
        }
        if ((uint)name.Partition >= (uint)topic.Serving)
        {
            refused = LocatedPartition.Failed(ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownPartition(name, topic.Serving));
            return true;
        }
        var state = topic.Partitions[name.Partition];
        refused = new LocatedPartition(default, ErrorCode.NotLeaderOrFollower, state.Leader, state.LeaderEpoch,
            $"Partition {name} is led by {(state.Leader < 0 ? "no broker at the moment" : $"broker {state.Leader}")}. Refresh the metadata "
            + "and retry.");
        return state.Leader >= 0 && state.Leader != self;
    }
}
