using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Engine.Transactions;

/// <summary>A transactional id's coordinator in its shell, with participants and producer ids that fail.</summary>
public sealed class TransactionCoordinatorTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private const string Id = "id";
    private static readonly TransactionPartition First = new("t", 0, Guid.Empty);
    private static readonly TransactionPartition Second = new("t", 1, Guid.Empty);
    private readonly FileStateStore _store = FileStateStore.Open(new MemoryFileSystem(), "/state");
    private readonly ScriptedParticipants _participants = new();
    private Func<long> _take = static () => 7;

    [Fact]
    public async Task Participant_that_throws_is_told_again()
    {
        // Both participants may be told at once.
        var failures = new ConcurrentQueue<Exception>([new InvalidOperationException("a bug"), new OperationCanceledException("another's"),
            new ObjectDisposedException("a silo")]);
        _participants.Answer = (_, _) => failures.TryDequeue(out var failure) ? throw failure : ParticipantOutcome.Done;
        await using var coordinator = await OpenAsync();
        await CommitAsync(coordinator);
        Assert.Equal(TransactionPhase.CompleteCommit, (await DescribeAsync(coordinator)).Phase);
        Assert.Empty(failures);
    }

    [Fact]
    public async Task Epoch_that_a_participant_refuses_is_raised_although_another_one_does_not_answer()
    {
        var refused = new ConcurrentBag<int>();
        _participants.Answer = (partition, end) =>
        {
            if (end.CoordinatorEpoch >= 1000)
                return ParticipantOutcome.Done;
            if (partition == Second)
                return ParticipantOutcome.Retry;
            refused.Add(end.CoordinatorEpoch);
            return ParticipantOutcome.Fenced;
        };
        await using var coordinator = await OpenAsync();
        await CommitAsync(coordinator);
        Assert.NotEmpty(refused);
        Assert.Equal(TransactionPhase.CompleteCommit, (await DescribeAsync(coordinator)).Phase);
    }

    [Fact]
    public async Task Producer_id_that_cannot_be_taken_is_taken_later()
    {
        var fails = true;
        _take = () => fails ? throw new InvalidOperationException("a bug") : 7;
        await using var coordinator = await OpenAsync();
        var refused = await InitAsync(coordinator);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, refused.Error);
        Assert.Contains("a bug", refused.Message, StringComparison.Ordinal);
        fails = false;
        InitTransactionsResult given;
        do
            given = await InitAsync(coordinator);
        while (given.Error == ErrorCode.CoordinatorNotAvailable);
        Assert.Equal((ErrorCode.None, 7), (given.Error, given.Producer.ProducerId));
    }

    [Fact]
    public async Task Id_beyond_the_most_leaves_no_note()
    {
        var bounded = new BoundedStateStore(_store, TransactionDocument.StoreType, 0, "There are too many.");
        await using (var coordinator = await OpenAsync(bounded))
        {
            var refused = await InitAsync(coordinator);
            Assert.Equal(ErrorCode.PolicyViolation, refused.Error);
        }
        Assert.Empty(await _store.ListAsync(TransactionProducer.StoreType));
    }

    [Fact]
    public async Task Next_coordinator_tells_of_what_was_decided()
    {
        _participants.Answer = static (_, _) => ParticipantOutcome.Retry;
        await using var first = await OpenAsync();
        var producer = (await InitAsync(first)).Producer;
        await AddAsync(first, producer);
        Assert.Equal(ErrorCode.None, (await EndAsync(first, producer, waits: false)).Error);

        var told = new ConcurrentBag<(TransactionPartition Partition, TransactionEnd End)>();
        _participants.Answer = (partition, end) =>
        {
            told.Add((partition, end));
            return ParticipantOutcome.Done;
        };
        await using var second = await OpenAsync();
        await Wait.UntilAsync(async () => (await DescribeAsync(second)).Phase == TransactionPhase.CompleteCommit, Patience);
        Assert.Superset(new HashSet<TransactionPartition> { First, Second }, told.Select(static one => one.Partition).ToHashSet());
        Assert.All(told, one => Assert.True(one.End is { IsCommit: true } && one.End.Producer == producer));
    }

    [Fact]
    public async Task Participants_are_told_64_at_a_time()
    {
        await using var coordinator = await OpenAsync();
        var producer = (await InitAsync(coordinator)).Producer;
        var release = new TaskCompletionSource();
        _participants.Before = () => release.Task;
        Assert.Equal(ErrorCode.None, ((AddToTransactionResult)await coordinator.AskAsync(new AddToTransaction
        {
            TransactionalId = Id,
            Producer = producer,
            Partitions = [.. Enumerable.Range(0, 200).Select(static partition => new TransactionPartition("t", partition, Guid.Empty))],
        })).Error);
        Assert.Equal(ErrorCode.None, (await EndAsync(coordinator, producer, waits: false)).Error);
        await Wait.UntilAsync(() => _participants.Begun >= 64, Patience);
        // Asked after all that could be told were told.
        Assert.Equal(TransactionPhase.PrepareCommit, (await DescribeAsync(coordinator)).Phase);
        Assert.Equal(64, _participants.Begun);
        release.SetResult();
        await Wait.UntilAsync(async () => (await DescribeAsync(coordinator)).Phase == TransactionPhase.CompleteCommit, Patience);
        Assert.Equal(200, _participants.Begun);
    }

    [Fact]
    public async Task Groups_of_a_transaction_are_bounded()
    {
        await using var coordinator = await OpenAsync();
        var producer = (await InitAsync(coordinator)).Producer;
        var most = new TransactionOptions().MaxGroups;
        Assert.Equal(ErrorCode.None, (await AddGroupsAsync(0, most)).Error);
        var refused = await AddGroupsAsync(most, 1);
        Assert.Equal(ErrorCode.InvalidRequest, refused.Error);
        Assert.Contains($"at most {most} groups", refused.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.None, (await AddGroupsAsync(0, 1)).Error);

        async Task<AddToTransactionResult> AddGroupsAsync(int first, int count) =>
            (AddToTransactionResult)await coordinator.AskAsync(new AddToTransaction
            {
                TransactionalId = Id,
                Producer = producer,
                Groups = [.. Enumerable.Range(first, count).Select(static number => $"g{number}")],
            });
    }

    [Fact]
    public async Task Abort_of_an_operator_that_is_decided_is_answered_although_a_participant_does_not_know()
    {
        _participants.Answer = static (_, _) => ParticipantOutcome.Retry;
        await using var coordinator = await OpenAsync();
        await AddAsync(coordinator, (await InitAsync(coordinator)).Producer);
        var number = (await DescribeAsync(coordinator)).Number;
        var aborted = Assert.IsType<TransactionDescription>(await coordinator.AskAsync(new AbortTransaction(Id)));
        Assert.Equal((TransactionPhase.PrepareAbort, number), (aborted.Phase, aborted.Number));
        Assert.Contains("an operator", aborted.LastEnd, StringComparison.Ordinal);
        aborted = Assert.IsType<TransactionDescription>(await coordinator.AskAsync(new AbortTransaction(Id, Number: number)));
        Assert.Equal((TransactionPhase.PrepareAbort, number), (aborted.Phase, aborted.Number));
        var other = Assert.IsType<TransactionReply>(await coordinator.AskAsync(new AbortTransaction(Id, Number: number + 1)));
        Assert.Equal(ErrorCode.InvalidTxnState, other.Error);
    }

    [Fact]
    public async Task Abort_of_an_operator_does_not_wait_for_a_commit_to_abort_the_next_transaction()
    {
        _participants.Answer = static (_, _) => ParticipantOutcome.Retry;
        await using var coordinator = await OpenAsync();
        var producer = (await InitAsync(coordinator)).Producer;
        await AddAsync(coordinator, producer);
        Assert.Equal(ErrorCode.None, (await EndAsync(coordinator, producer, waits: false)).Error);
        var refused = Assert.IsType<TransactionReply>(await coordinator.AskAsync(new AbortTransaction(Id)));
        Assert.Equal(ErrorCode.InvalidTxnState, refused.Error);
        Assert.Contains("committed", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Transaction_times_out_after_its_time_although_the_clock_was_set_back()
    {
        var clock = new ManualClock { Ahead = TimeSpan.FromDays(1) };
        await using var coordinator = await OpenAsync(time: clock);
        await AddAsync(coordinator, (await InitAsync(coordinator)).Producer);
        clock.Ahead = TimeSpan.Zero;
        clock.Advance(TimeSpan.FromMinutes(1));
        await Wait.UntilAsync(async () => (await DescribeAsync(coordinator)).Phase == TransactionPhase.CompleteAbort, Patience);
    }

    private static async Task CommitAsync(TransactionCoordinator coordinator)
    {
        var producer = (await InitAsync(coordinator)).Producer;
        await AddAsync(coordinator, producer);
        EndTransactionResult ended;
        do
            ended = await EndAsync(coordinator, producer, waits: true);
        while (ended.Error == ErrorCode.ConcurrentTransactions);
        Assert.Equal(ErrorCode.None, ended.Error);
    }

    private static async Task<InitTransactionsResult> InitAsync(TransactionCoordinator coordinator) => (InitTransactionsResult)
        await coordinator.AskAsync(new InitTransactions { TransactionalId = Id, Timeout = TimeSpan.FromMinutes(1) });

    private static async Task AddAsync(TransactionCoordinator coordinator, ProducerIdentity producer) =>
        Assert.Equal(ErrorCode.None, ((AddToTransactionResult)await coordinator.AskAsync(new AddToTransaction
        {
            TransactionalId = Id,
            Producer = producer,
            Partitions = [First, Second],
        })).Error);

    private static async Task<EndTransactionResult> EndAsync(TransactionCoordinator coordinator, ProducerIdentity producer, bool waits) =>
        (EndTransactionResult)await coordinator.AskAsync(new EndTransaction
        {
            TransactionalId = Id,
            Producer = producer,
            IsCommit = true,
            WaitsForMarkers = waits,
        });

    private static async Task<TransactionDescription> DescribeAsync(TransactionCoordinator coordinator) =>
        (TransactionDescription)await coordinator.AskAsync(new DescribeTransaction(Id));

    private Task<TransactionCoordinator> OpenAsync(IStateStore? store = null, TimeProvider? time = null) =>
        TransactionCoordinator.OpenAsync(Id, 1, store ?? _store, _participants,
            new TransactionProducers(store ?? _store, _ => new(_take()), EngineLog.Silent), new TransactionOptions(),
            time ?? TimeProvider.System, EngineLog.Silent);

    private sealed class ScriptedParticipants : ITransactionParticipants
    {
        public Func<TransactionPartition, TransactionEnd, ParticipantOutcome> Answer { get; set; } =
            static (_, _) => ParticipantOutcome.Done;

        /// <summary>Awaited before each answer.</summary>
        public Func<Task> Before { get; set; } = static () => Task.CompletedTask;

        /// <summary>The number of partitions told.</summary>
        public int Begun => Volatile.Read(ref _begun);

        private int _begun;

        public Task<ParticipantOutcome> EndAsync(TransactionPartition partition, TransactionEnd end, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _begun);
            return Task.Run(async () =>
            {
                await Before();
                return Answer(partition, end);
            }, CancellationToken.None);
        }

        public Task<ParticipantOutcome> EndAsync(string groupId, TransactionEnd end, CancellationToken cancellationToken) =>
            Task.FromResult(ParticipantOutcome.Done);
    }
}
