using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Transactions;

namespace OrleansMq.Brokers;

/// <summary>The participants of transactions on a broker that stands alone: its partitions and groups. Thread safe.</summary>
/// <param name="find">Finds a partition; null where it is not there, with the error.</param>
/// <param name="groups">The groups.</param>
internal sealed class LocalParticipants(LocalParticipants.FindPartition find, Func<IGroupCoordinator> groups) : ITransactionParticipants
{
    /// <summary>Finds a partition.</summary>
    /// <returns>Null, where it is not there.</returns>
    internal delegate Partition? FindPartition(TopicPartition partition, out ErrorCode error);

    /// <inheritdoc/>
    public async Task<ParticipantOutcome> EndAsync(TransactionPartition partition, TransactionEnd end, CancellationToken cancellationToken)
    {
        var found = find(new TopicPartition(partition.Topic, partition.Partition), out var error);
        if (found is null)
            return error == ErrorCode.UnknownTopicOrPartition ? ParticipantOutcome.Done : ParticipantOutcome.Retry;
        return await EndAsync(found, partition, end).WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes the marker into a partition that is led here.</summary>
    /// <param name="found">The partition.</param>
    /// <param name="partition">The partition of the transaction: one of another topic with its name has nothing to know.</param>
    /// <param name="end">The end.</param>
    public static async Task<ParticipantOutcome> EndAsync(Partition found, TransactionPartition partition, TransactionEnd end)
    {
        if (partition.TopicId != default && partition.TopicId != found.TopicId)
            return ParticipantOutcome.Done;
        var written = await found.Appends.AppendMarkerAsync(end.Producer.ProducerId, end.Producer.ProducerEpoch, end.Marker,
            end.RaisesEpoch).ConfigureAwait(false);
        return ParticipantOutcomes.Of(written.Error);
    }

    /// <inheritdoc/>
    public async Task<ParticipantOutcome> EndAsync(string groupId, TransactionEnd end, CancellationToken cancellationToken)
    {
        var reply = await groups().SendAsync(ParticipantOutcomes.ForGroup(groupId, end), cancellationToken).ConfigureAwait(false);
        return ParticipantOutcomes.Of(reply.Error);
    }
}
