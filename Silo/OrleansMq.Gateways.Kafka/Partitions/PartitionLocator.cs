using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>A partition that is led here, or why it cannot be used here, and who leads it.</summary>
/// <param name="Partition">Null where it is not led here.</param>
/// <param name="Error"><see cref="ErrorCode.None"/>, or why not.</param>
/// <param name="Leader">Who leads it; -1 where that is not known.</param>
/// <param name="LeaderEpoch">In which epoch; -1 where that is not known.</param>
/// <param name="Message">On error: what to do.</param>
internal readonly record struct LocatedPartition(Partition? Partition, ErrorCode Error, int Leader, int LeaderEpoch, string? Message)
{
    public static LocatedPartition Failed(ErrorCode error, string message) => new(null, error, -1, -1, message);
}

/// <summary>Finds the partitions that requests name. Thread safe.</summary>
internal sealed class PartitionLocator(IBroker broker, IClusterMetadata metadata, ILocalPartitions local, int self)
{
    /// <summary>Every partition that this broker has a replica of.</summary>
    public IReadOnlyCollection<Partition> Held => local.Held;

    /// <summary>The topic's name; null where no topic that is served has the id.</summary>
    public string? NameOf(Guid topicId) =>
        metadata.Image.Topics.TryGetValue(topicId, out var topic) && topic.Status == TopicStatus.Active ? topic.Name : null;

    /// <summary>Finds a partition without asking anybody.</summary>
    /// <param name="topic">The topic's name; null where the request named an id.</param>
    /// <param name="topicId">The topic's id; empty where the request named a name.</param>
    /// <param name="number">The partition's number.</param>
    /// <param name="found">What was found.</param>
    /// <returns>False where it should be led here but is not active yet: <see cref="ActivateAsync"/> finds out.</returns>
    public bool TryFind(string? topic, Guid topicId, int number, out LocatedPartition found)
    {
        if ((topic ?? NameOf(topicId)) is not { } known)
        {
            found = LocatedPartition.Failed(ErrorCode.UnknownTopicId, $"No topic has the id {topicId}.");
            return true;
        }
        var name = new TopicPartition(known, number);
        if (TryGetLocal(name, topicId, out var partition))
        {
            found = new LocatedPartition(partition, ErrorCode.None, self, partition.LeaderEpoch, null);
            return true;
        }
        return TryRefuse(name, out found);
    }

    /// <summary>The partition, if it is active here.</summary>
    public Partition? FindLocal(ImageTopic topic, int number) =>
        TryGetLocal(new TopicPartition(topic.Name, number), topic.TopicId, out var partition) ? partition : null;

    /// <summary>Has a partition that should be led here begin to serve, and finds it.</summary>
    public async ValueTask<LocatedPartition> ActivateAsync(string? topic, Guid topicId, int number, CancellationToken cancellationToken)
    {
        if ((topic ?? NameOf(topicId)) is not { } known)
            return LocatedPartition.Failed(ErrorCode.UnknownTopicId, $"No topic has the id {topicId}.");
        var name = new TopicPartition(known, number);
        // Any call wakes it; this one changes nothing.
        var woken = await broker.FindOffsetAsync(name, OffsetSpec.Earliest, cancellationToken).ConfigureAwait(false);
        if (TryGetLocal(name, topicId, out var partition))
            return new LocatedPartition(partition, ErrorCode.None, self, partition.LeaderEpoch, null);
        if (woken.Error != ErrorCode.None)
            return LocatedPartition.Failed(woken.Error, woken.Message ?? "");
        return TryRefuse(name, out var refused) ? refused
            : LocatedPartition.Failed(ErrorCode.NotLeaderOrFollower,
                $"Partition {name} is led by another broker. Refresh the metadata and retry.");
    }

    private bool TryGetLocal(TopicPartition name, Guid topicId, [NotNullWhen(true)] out Partition? partition) =>
        local.TryGet(name, out partition) && (topicId == Guid.Empty || partition.TopicId == topicId);

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
        refused = new LocatedPartition(null, ErrorCode.NotLeaderOrFollower, state.Leader, state.LeaderEpoch,
            $"Partition {name} is led by {(state.Leader < 0 ? "no broker at the moment" : $"broker {state.Leader}")}. Refresh the metadata "
            + "and retry.");
        return state.Leader >= 0 && state.Leader != self;
    }
}
