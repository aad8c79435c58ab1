using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Brokers;
using OrleansMq.Partitions;
using OrleansMq.Topics;
using OrleansMq.Transactions;

namespace OrleansMq.Grains.Transactions;

/// <summary>The participants of transactions on a cluster: a partition that is led on this silo is told directly, others over their grains.
/// Thread safe.</summary>
/// <param name="grains">The partitions' grains.</param>
/// <param name="groups">The groups.</param>
/// <param name="local">The partitions that are led here.</param>
/// <param name="metadata">The image of the cluster; it may be older than the one that the transaction had its topic ids from.</param>
/// <param name="readTopic">Reads the document of the topic with a name, as it is stored now; null where there is none.</param>
/// <param name="log">The log.</param>
internal sealed class GrainParticipants(IGrainFactory grains, IGroupCoordinator groups, ILocalPartitions local, IClusterMetadata metadata,
    Func<string, Task<TopicState?>> readTopic, EngineLog log) : ITransactionParticipants
{
    /// <inheritdoc/>
    public async Task<ParticipantOutcome> EndAsync(TransactionPartition partition, TransactionEnd end, CancellationToken cancellationToken)
    {
        if (local.TryGet(new TopicPartition(partition.Topic, partition.Partition), out var found) && found.TopicId == partition.TopicId)
            return await LocalParticipants.EndAsync(found, partition, end).WaitAsync(cancellationToken).ConfigureAwait(false);
        // Known for sure: a deletion that has begun is completed.
        if (metadata.Image.Deleted.Contains(partition.TopicId))
            return ParticipantOutcome.Done;
        var error = await CallAsync(() => grains.GetGrain<ITransactionMarkerGrain>(
            GrainKeys.Partition(partition.TopicId, partition.Partition)).EndTransactionAsync(end.Producer.ProducerId,
                end.Producer.ProducerEpoch, end.Number, end.CoordinatorEpoch, end.IsCommit, end.RaisesEpoch), cancellationToken)
            .ConfigureAwait(false);
        if (error != ErrorCode.UnknownTopicId)
            return ParticipantOutcomes.Of(error);
        // An activation that does not lead any more says the same as one of a deleted topic, and an image may be too old to know the topic.
        var stored = await readTopic(partition.Topic).WaitAsync(cancellationToken).ConfigureAwait(false);
        return IsStored(stored, partition) ? ParticipantOutcome.Retry : ParticipantOutcome.Done;
    }

    // A topic's document is stored before its id is in any image, and removed last. Its partitions are never taken away.
    private static bool IsStored(TopicState? topic, in TransactionPartition partition) => topic is not null
        && topic.TopicId == partition.TopicId && partition.Partition < Math.Max(topic.Partitions, topic.GrowingTo ?? 0);

    /// <inheritdoc/>
    public async Task<ParticipantOutcome> EndAsync(string groupId, TransactionEnd end, CancellationToken cancellationToken)
    {
        var reply = await groups.SendAsync(ParticipantOutcomes.ForGroup(groupId, end), cancellationToken).ConfigureAwait(false);
        return ParticipantOutcomes.Of(reply.Error);
    }

    private async Task<ErrorCode> CallAsync(Func<Task<ErrorCode>> call, CancellationToken cancellationToken)
    {
        try
        {
            return await call().WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException refused)
        {
            return refused.Code;
        }
        catch (Exception exception) when (GrainFaults.IsUnanswered(exception))
        {
            log.Write(EngineLogLevel.Debug, "A partition did not answer to the end of a transaction.", exception);
            return ErrorCode.RequestTimedOut;
        }
    }
}
