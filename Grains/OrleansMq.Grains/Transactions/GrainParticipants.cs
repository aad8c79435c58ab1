using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Brokers;
using OrleansMq.Groups;
using OrleansMq.Partitions;
using OrleansMq.Transactions;

namespace OrleansMq.Grains.Transactions;

/// <summary>The participants of transactions on a cluster: a partition that is led on this silo is told directly, others over their grains.
/// Thread safe.</summary>
internal sealed class GrainParticipants(IGrainFactory grains, IGroupCoordinator groups, ILocalPartitions local, IClusterMetadata metadata,
    EngineLog log) : ITransactionParticipants
{
    /// <inheritdoc/>
    public async Task<ParticipantOutcome> EndAsync(TransactionPartition partition, TransactionEnd end, CancellationToken cancellationToken)
    {
        if (local.TryGet(new TopicPartition(partition.Topic, partition.Partition), out var found) && found.TopicId == partition.TopicId)
            return await LocalParticipants.EndAsync(found, partition, end).WaitAsync(cancellationToken).ConfigureAwait(false);
        var topics = GroupTopics.Of(metadata.Image);
        if (topics.IsDeleted(partition.TopicId) || topics.IsReplaced(partition.Topic, partition.TopicId))
            return ParticipantOutcome.Done;
        var error = await CallAsync(() => grains.GetGrain<ITransactionMarkerGrain>(
            GrainKeys.Partition(partition.TopicId, partition.Partition)).EndTransactionAsync(end.Producer.ProducerId,
                end.Producer.ProducerEpoch, end.Number, end.CoordinatorEpoch, end.IsCommit, end.RaisesEpoch), cancellationToken)
            .ConfigureAwait(false);
        // Deleted so long ago that the image has forgotten it. The transaction had its id from an image, so a newer one has it, or had it.
        return error == ErrorCode.UnknownTopicId && metadata.Image is { Version: > 0 } image && !image.Topics.ContainsKey(partition.TopicId)
            ? ParticipantOutcome.Done : ParticipantOutcomes.Of(error);
    }

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
