using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
using OrleansMq.State;
using OrleansMq.Transactions;

namespace OrleansMq.Grains.Coordination;

/// <summary>Coordinates a transactional id and a group that no client has, each by one coordinator and by the next one, which finds what
/// the first one stored, and claims it.</summary>
/// <param name="store">The store of their documents: of nobody else's.</param>
/// <param name="broker">The broker, whose number is the id.</param>
/// <param name="topics">The topics, none of which is used.</param>
/// <param name="time">The clock.</param>
internal sealed class RehearsedCoordinators(IStateStore store, int broker, IClusterMetadata topics, TimeProvider time)
{
    // What a rehearsal that was interrupted left has ended by the next one.
    private static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(6);

    private readonly string _id = $"broker-{broker}";

    /// <summary>Commits a transaction.</summary>
    /// <returns>The error of the first step that failed.</returns>
    /// <exception cref="IOException">The store does not answer.</exception>
    public async Task<ErrorCode> CommitAsync()
    {
        ProducerIdentity producer;
        await using (var first = await OpenTransactionAsync())
        {
            var begun = (InitTransactionsResult)await first.AskAsync(new InitTransactions
            {
                TransactionalId = _id,
                Timeout = Lifetime,
                RequestId = Guid.NewGuid(),
            });
            if (begun.Error != ErrorCode.None)
                return begun.Error;
            producer = begun.Producer;
        }
        await using var next = await OpenTransactionAsync();
        var added = (AddToTransactionResult)await next.AskAsync(new AddToTransaction
        {
            TransactionalId = _id,
            Producer = producer,
            Partitions = [new TransactionPartition("none", 0, Guid.Empty)],
            RaisesEpoch = true,
        });
        if (added.Error != ErrorCode.None)
            return added.Error;
        var ended = (EndTransactionResult)await next.AskAsync(new EndTransaction
        {
            TransactionalId = _id,
            Producer = producer,
            IsCommit = true,
            RaisesEpoch = true,
            WaitsForMarkers = true,
        });
        return ended.Error;
    }

    /// <summary>Joins a group, and leaves it.</summary>
    /// <inheritdoc cref="CommitAsync"/>
    public async Task<ErrorCode> JoinAsync()
    {
        JoinGroupResult joined;
        await using (var first = await OpenGroupAsync())
        {
            joined = await first.SendAsync(new JoinGroup
            {
                GroupId = _id,
                ProtocolType = "rehearsal",
                Protocols = [new GroupProtocol("none", default)],
                RequireKnownMemberId = false,
                SessionTimeout = Lifetime,
                RebalanceTimeout = Lifetime,
            });
            if (joined.Error != ErrorCode.None)
                return joined.Error;
            var synced = await first.SendAsync(new SyncGroup
            {
                GroupId = _id,
                GenerationId = joined.GenerationId,
                MemberId = joined.MemberId,
            });
            if (synced.Error != ErrorCode.None)
                return synced.Error;
        }
        await using var next = await OpenGroupAsync();
        var alive = await next.SendAsync(new Heartbeat(_id, joined.GenerationId, joined.MemberId));
        var left = await next.SendAsync(new LeaveGroup(_id, [new LeavingMember(joined.MemberId)]));
        return alive.Error != ErrorCode.None ? alive.Error : left.Error;
    }

    private async Task<TransactionCoordinator> OpenTransactionAsync() => await TransactionCoordinator.OpenAsync(_id, broker, store,
        new Everyone(), new TransactionProducers(store, static _ => new(Random.Shared.NextInt64()), EngineLog.Silent),
        new TransactionOptions(), time, EngineLog.Silent);

    private async Task<GroupCoordinator> OpenGroupAsync() =>
        await GroupCoordinator.OpenAsync(_id, broker, store, topics, new GroupOptions(), time, EngineLog.Silent);

    // Knows of each end at once.
    private sealed class Everyone : ITransactionParticipants
    {
        public Task<ParticipantOutcome> EndAsync(TransactionPartition partition, TransactionEnd end, CancellationToken cancellationToken) =>
            Task.FromResult(ParticipantOutcome.Done);

        public Task<ParticipantOutcome> EndAsync(string groupId, TransactionEnd end, CancellationToken cancellationToken) =>
            Task.FromResult(ParticipantOutcome.Done);
    }
}
