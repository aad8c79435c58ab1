using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
using OrleansMq.Groups.Offsets;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

/// <summary>Transactions in the groups of a broker whose documents are files.</summary>
public sealed class StoredTransactionsTests : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly MemoryFileSystem _files = new();
    private readonly ManualClock _clock = new();
    private LocalBroker _broker = null!;
    private FaultyStore _store = null!;
    private GroupCoordinators _groups = null!;
    private readonly ScriptedTransactions _transactions = new();

    public async Task InitializeAsync()
    {
        _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = _files });
        await _broker.CreateTopicAsync(new NewTopic("t", 2));
        _store = new FaultyStore(FileStateStore.Open(_files, "/elsewhere"));
        _groups = Open();
    }

    public async Task DisposeAsync()
    {
        await _groups.DisposeAsync();
        await _broker.DisposeAsync();
    }

    private GroupCoordinators Open(int maxGroups = 100) =>
        new(1, _store, _broker.Metadata, new GroupOptions { MaxGroups = maxGroups }, _clock, EngineLog.Silent,
            transactions: () => _transactions);

    private async Task ReopenAsync(int maxGroups = 100)
    {
        await _groups.DisposeAsync();
        _groups = Open(maxGroups);
    }

    // A coordinator that reads again what it could not store asks for a retry meanwhile.
    private Task<ErrorCode> RepeatAsync(Func<Task<ErrorCode>> ask) =>
        Wait.WhileLoadingAsync(ask, static error => error == ErrorCode.CoordinatorLoadInProgress, _clock, Deadline);

    private Task<ErrorCode> CommitAsync(long number, long offset, int partition = 0, long producer = 7, string group = "g") =>
        RepeatAsync(async () => Assert.Single((await _groups.SendAsync(new TransactionOffsetCommit
        {
            GroupId = group,
            TransactionalId = "x",
            Producer = new ProducerIdentity(producer, 0),
            Number = number,
            Offsets = [new PartitionOffset("t", partition, new CommittedOffset(offset))],
        })).Partitions).Error);

    private Task<ErrorCode> EndAsync(long number, bool isCommit = true, long producer = 7, string group = "g") =>
        RepeatAsync(async () => (await _groups.SendAsync(new EndTransactionOffsets
        {
            GroupId = group,
            Producer = new ProducerIdentity(producer, 0),
            Number = number,
            CoordinatorEpoch = 1,
            IsCommit = isCommit,
        })).Error);

    private async Task<(long?, ErrorCode)[]> FetchAsync() => [.. (await _groups.FetchOffsetsAsync(new OffsetFetch
    {
        GroupId = "g",
        Partitions = [new TopicPartition("t", 0), new TopicPartition("t", 1)],
        RequireStable = true,
    })).Partitions.Select(static found => (found.Offset?.Offset, found.Error))];

    private async Task<string[]> ListAsync() => [.. (await _groups.ListGroupsAsync()).Select(static group => group.GroupId)];

    [Fact]
    public async Task Transaction_is_what_it_was_when_the_broker_comes_back()
    {
        Assert.Equal(ErrorCode.None, await CommitAsync(1, 5));
        Assert.Equal(ErrorCode.None, await CommitAsync(1, 6, partition: 1));
        Assert.Equal(ErrorCode.None, await CommitAsync(1, 7, partition: 1, producer: 8));
        await ReopenAsync();
        Assert.Equal([(null, ErrorCode.UnstableOffsetCommit), (null, ErrorCode.UnstableOffsetCommit)], await FetchAsync());
        Assert.Equal(ErrorCode.None, await EndAsync(1, producer: 8));
        await ReopenAsync();
        Assert.Equal(ErrorCode.None, await EndAsync(1));
        Assert.Equal([(5, ErrorCode.None), (7, ErrorCode.None)], await FetchAsync());
        await ReopenAsync();
        Assert.Equal(ErrorCode.None, await EndAsync(1, isCommit: false));
        Assert.Equal(ErrorCode.TransactionAbortable, await CommitAsync(1, 8));
        Assert.Equal([(5, ErrorCode.None), (7, ErrorCode.None)], await FetchAsync());
    }

    /// <summary>So does one whose fence was forgotten, among too many.</summary>
    [Fact]
    public async Task Offsets_that_arrive_when_the_end_of_their_transaction_is_forgotten_do_not_stay_in_the_way()
    {
        _transactions.Known = Describe(TransactionPhase.CompleteCommit, 5);
        Assert.Equal(ErrorCode.None, await CommitAsync(5, 37));
        Assert.Equal(((long?)null, ErrorCode.UnstableOffsetCommit), (await FetchAsync())[0]);
        Assert.Equal(0, _transactions.Asked);
        _clock.Advance(TransactionsInTheWay.AskAfter);
        await Wait.UntilAsync(async () => (await FetchAsync())[0].Item2 == ErrorCode.None, Deadline);
        Assert.Equal(((long?)null, ErrorCode.None), (await FetchAsync())[0]);
        // As a repetition that arrives even later.
        Assert.Equal(ErrorCode.TransactionAbortable, await CommitAsync(5, 37));
        Assert.Equal(ErrorCode.None, await CommitAsync(6, 38));
    }

    [Theory]
    [InlineData(TransactionPhase.Ongoing, 5, true)]
    [InlineData(TransactionPhase.PrepareCommit, 5, true)]
    [InlineData(TransactionPhase.Ongoing, 6, false)]
    public async Task Offsets_stay_while_their_coordinator_has_their_transaction_open(TransactionPhase phase, long number, bool stay)
    {
        _transactions.Known = Describe(phase, number);
        Assert.Equal(ErrorCode.None, await CommitAsync(5, 37));
        await FetchAsync();
        _clock.Advance(TransactionsInTheWay.AskAfter);
        await FetchAsync();
        await Wait.UntilAsync(() => _transactions.Asked > 0, Deadline);
        if (stay)
        {
            Assert.Equal(ErrorCode.None, await CommitAsync(5, 39));
            Assert.Equal(ErrorCode.None, await EndAsync(5));
            Assert.Equal(((long?)39, ErrorCode.None), (await FetchAsync())[0]);
        }
        else
        {
            await Wait.UntilAsync(async () => (await FetchAsync())[0].Item2 == ErrorCode.None, Deadline);
            Assert.Equal(((long?)null, ErrorCode.None), (await FetchAsync())[0]);
        }
    }

    // The groups are not told.
    private static TransactionDescription Describe(TransactionPhase phase, long number) => new()
    {
        TransactionalId = "x",
        Coordinator = 1,
        Phase = phase,
        Producer = new ProducerIdentity(7, 0),
        Timeout = TimeSpan.FromMinutes(1),
        Number = number,
        Partitions = [],
        Groups = [],
    };

    // Describes one transactional id.
    private sealed class ScriptedTransactions : ITransactionCoordinator
    {
        private int _asked;

        public TransactionDescription? Known { get; set; }
        public int Asked => Volatile.Read(ref _asked);

        public ValueTask<TResult> SendAsync<TResult>(ITransactionRequest<TResult> request, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _asked);
            return new(request.Answer(Known ?? throw new BrokerException(ErrorCode.CoordinatorNotAvailable, "not now")));
        }

        public ValueTask<int> FindCoordinatorAsync(string transactionalId, CancellationToken cancellationToken) => new(1);

        public ValueTask<IReadOnlyList<TransactionListing>> ListTransactionsAsync(CancellationToken cancellationToken) => new([]);
    }

    [Fact]
    public async Task End_is_answered_when_it_is_stored()
    {
        await CommitAsync(1, 5);
        var open = new TaskCompletionSource();
        _store.Gate = open.Task;
        var ending = EndAsync(1);
        var again = EndAsync(1);
        var late = CommitAsync(1, 6);
        await Wait.UntilAsync(() => _store.Waiting == 1, Deadline);
        Assert.False(ending.IsCompleted || again.IsCompleted || late.IsCompleted);
        open.SetResult();
        Assert.Equal((ErrorCode.None, ErrorCode.None, ErrorCode.TransactionAbortable),
            (await ending.WaitAsync(Deadline), await again.WaitAsync(Deadline), await late.WaitAsync(Deadline)));
    }

    [Fact]
    public async Task End_that_could_not_be_stored_is_repeated()
    {
        await CommitAsync(1, 5);
        _store.Failure = new IOException("The disk is full.");
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await EndAsync(1));
        _store.Failure = null;
        Assert.Equal(ErrorCode.None, await EndAsync(1));
        Assert.Equal([(5, ErrorCode.None), (null, ErrorCode.None)], await FetchAsync());
    }

    [Fact]
    public async Task What_is_remembered_of_a_transaction_is_no_group_and_goes_after_an_hour()
    {
        Assert.Equal(ErrorCode.None, await EndAsync(1));
        Assert.Empty(await ListAsync());
        await Assert.ThrowsAsync<BrokerException>(async () => await _groups.DeleteGroupAsync("g"));
        await ReopenAsync();
        // Listed from its documents.
        Assert.Empty(await ListAsync());
        Assert.Equal(0, _groups.OpenCount);
        Assert.Equal(ErrorCode.TransactionAbortable, await CommitAsync(1, 5));
        Assert.Equal(1, _groups.OpenCount);
        _clock.Advance(TransactionOffsetDecision.FenceRetention);
        await Wait.UntilAsync(() => _groups.OpenCount == 0, Deadline);
        Assert.Empty(await _store.ListAsync(GroupDocument.StoreType));
        Assert.Empty(await _store.ListAsync(GroupOffsetsDocument.StoreType));
    }

    [Fact]
    public async Task What_was_remembered_of_a_transaction_goes_with_a_list_where_no_coordinator_ran()
    {
        await EndAsync(1);
        await _groups.DisposeAsync();
        _clock.Advance(TransactionOffsetDecision.FenceRetention);
        _groups = Open();
        Assert.Empty(await ListAsync());
        Assert.Empty(await _store.ListAsync(GroupDocument.StoreType));
        Assert.Equal(0, _groups.OpenCount);
    }

    [Fact]
    public async Task Group_of_pending_offsets_is_one_and_its_deletion_discards_them()
    {
        await CommitAsync(1, 5);
        _clock.Advance(TimeSpan.FromDays(400));
        Assert.Equal(["g"], await ListAsync());
        await ReopenAsync();
        Assert.Equal(["g"], await ListAsync());
        await _groups.DeleteGroupAsync("g");
        Assert.Empty(await ListAsync());
        Assert.Empty(await _store.ListAsync(GroupDocument.StoreType));
        // The transaction is open still: what it commits afterwards is ended with it.
        Assert.Equal(ErrorCode.None, await CommitAsync(1, 6, partition: 1));
        Assert.Equal(ErrorCode.None, await EndAsync(1));
        Assert.Equal([(null, ErrorCode.None), (6, ErrorCode.None)], await FetchAsync());
    }

    [Fact]
    public async Task Transaction_ends_where_there_is_no_room_for_its_group()
    {
        await CommitAsync(1, 5, group: "only");
        await ReopenAsync(maxGroups: 1);
        Assert.Equal(ErrorCode.PolicyViolation, await CommitAsync(1, 5));
        Assert.Equal(ErrorCode.None, await EndAsync(1));
        Assert.Equal(["only"], await ListAsync());
    }
}
