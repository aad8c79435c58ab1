using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Groups.Coordination;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Coordination;

/// <summary>The behaviour that all coordinators share, tested with a minimal one: a counter.</summary>
public sealed class CoordinatorTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly ManualClock _clock = new();
    private readonly FaultyStore _store = new(FileStateStore.Open(new MemoryFileSystem(), "/data"));

    private Task<ICoordinator> OpenAsync() => Counters.OpenAsync("c", _store, _clock);

    private static async Task<CounterAnswer> AskAsync(ICoordinator counter, ICoordinatorRequest request) =>
        (CounterAnswer)await counter.AskAsync(request).AsTask().WaitAsync(Deadline);

    private static Task<CounterAnswer> AddAsync(ICoordinator counter, long amount) => AskAsync(counter, new AddToCounter(amount));

    private static async Task<long> ReadAsync(ICoordinator counter) => (await AskAsync(counter, new ReadCounter())).Value;

    [Fact]
    public async Task Answer_is_held_until_its_change_is_stored_and_changes_share_a_write()
    {
        await using var counter = await OpenAsync();
        Assert.Equal(new CounterAnswer(ErrorCode.None, 1), await AddAsync(counter, 1));
        var writes = _store.Writes;
        var open = new TaskCompletionSource();
        _store.Gate = open.Task;
        var adds = Enumerable.Range(0, 100).Select(_ => AddAsync(counter, 1)).ToList();
        var refused = AddAsync(counter, -1000);
        await Wait.UntilAsync(() => _store.Waiting == 1, Deadline);
        Assert.All([.. adds, refused], add => Assert.False(add.IsCompleted));
        open.SetResult();
        Assert.Equal(Enumerable.Range(2, 100), (await Task.WhenAll(adds)).Select(answer => (int)answer.Value));
        Assert.Equal(ErrorCode.InvalidRequest, (await refused).Error);
        Assert.Equal(writes + 2, _store.Writes);
        Assert.False(counter.IsVacant);
    }

    [Fact]
    public async Task Failed_write_is_refused_and_the_stored_value_is_adopted()
    {
        await using var counter = await OpenAsync();
        await AddAsync(counter, 5);
        _store.Failure = new IOException("The disk is full.");
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, (await AddAsync(counter, 1)).Error);
        _store.Failure = null;
        var answer = await Wait.WhileLoadingAsync(() => AddAsync(counter, 10),
            static answer => answer.Error == ErrorCode.CoordinatorLoadInProgress, _clock, Deadline);
        Assert.Equal(new CounterAnswer(ErrorCode.None, 15), answer);
        Assert.Equal(15, await ReadAsync(counter));
    }

    [Fact]
    public async Task Newer_coordinator_claims_the_document_and_the_older_one_neither_writes_nor_reads()
    {
        await using var older = await OpenAsync();
        await AddAsync(older, 1);
        await using var newer = await OpenAsync();
        Assert.Equal(new CounterAnswer(ErrorCode.None, 3), await AddAsync(newer, 2));

        Assert.Equal(ErrorCode.CoordinatorNotAvailable, (await AskAsync(older, new ReadCounter())).Error);
        Assert.NotEqual(ErrorCode.None, (await AddAsync(older, 100)).Error);
        await Wait.UntilAsync(() => older.IsClosed, Deadline);
        Assert.Equal(ErrorCode.NotCoordinator, (await AddAsync(older, 100)).Error);
        Assert.Equal(3, await ReadAsync(newer));
    }

    [Fact]
    public void Unclear_write_of_this_coordinator_is_adopted()
    {
        var core = new CounterCore("c", Guid.NewGuid(), new StoredCounter(null), DateTimeOffset.UnixEpoch);
        core.Execute(new CoordinatorRequest(1, new AddToCounter(7)), DateTimeOffset.UnixEpoch);
        var write = Assert.Single(Effects<Store>(core));
        core.Execute(new StoreFailed(0, "no answer"), DateTimeOffset.UnixEpoch);
        core.Execute(new ReadCompleted(new StoredCounter((CounterDocument)write.Content!)), DateTimeOffset.UnixEpoch);
        Assert.False(core.IsDeposed);
        core.Execute(new StoreCompleted(0, Effects<Store>(core)[^1].Version), DateTimeOffset.UnixEpoch);
        core.Execute(new CoordinatorRequest(2, new AddToCounter(1)), DateTimeOffset.UnixEpoch);
        core.Execute(new StoreCompleted(0, Assert.Single(Effects<Store>(core)).Version), DateTimeOffset.UnixEpoch);
        Assert.Equal(new CounterAnswer(ErrorCode.None, 8), Assert.Single(Effects<Reply>(core)).Result);
    }

    [Fact]
    public void Write_that_was_given_up_is_ruled_out_before_the_next_answer()
    {
        var core = new CounterCore("c", Guid.NewGuid(), new StoredCounter(null), DateTimeOffset.UnixEpoch);
        core.Execute(new CoordinatorRequest(1, new AddToCounter(7)), DateTimeOffset.UnixEpoch);
        var first = Assert.Single(Effects<Store>(core));
        core.Execute(new StoreCompleted(0, first.Version), DateTimeOffset.UnixEpoch);
        core.Execute(new CoordinatorRequest(2, new AddToCounter(1)), DateTimeOffset.UnixEpoch);
        Effects<Store>(core);
        core.Execute(new StoreFailed(0, "no answer"), DateTimeOffset.UnixEpoch);
        // The write is not stored yet; it still may be.
        core.Execute(new ReadCompleted(new StoredCounter((CounterDocument)first.Content!)), DateTimeOffset.UnixEpoch);
        var effects = new List<CoordinatorEffect>();
        core.TakeEffects(effects);
        var again = Assert.Single(effects.OfType<Store>());
        core.Execute(new CoordinatorRequest(3, new ReadCounter()), DateTimeOffset.UnixEpoch);
        core.TakeEffects(effects);
        var confirm = Assert.Single(effects.OfType<ConfirmClaim>());
        core.Execute(new ClaimRead(confirm.Number, first.Content!.Coordinator), DateTimeOffset.UnixEpoch);
        Assert.Empty(Effects<Reply>(core));
        core.Execute(new StoreCompleted(0, again.Version), DateTimeOffset.UnixEpoch);
        Assert.Equal(new CounterAnswer(ErrorCode.None, 7), Assert.Single(Effects<Reply>(core)).Result);
    }

    [Fact]
    public async Task Vacant_coordinators_are_closed_and_others_stay_open()
    {
        await using var counters = new OpenCoordinators(Counters.Kind, id => Counters.OpenAsync(id, _store, _clock), EngineLog.Silent);
        Assert.Equal(new CounterAnswer(ErrorCode.None, 0), await counters.AskAsync("none", new ReadCounter(), default));
        Assert.Equal(0, counters.Count);
        await counters.AskAsync("one", new AddToCounter(1), default);
        Assert.True(counters.IsOpen("one"));
        await counters.AskAsync("one", new DeleteCounter(), default);
        Assert.Equal(0, counters.Count);
        Assert.Empty(await _store.ListAsync("counter"));
        await counters.DisposeAsync();
        Assert.Equal(new CounterAnswer(ErrorCode.CoordinatorNotAvailable, -1),
            await counters.AskAsync("one", new AddToCounter(1), default));
    }

    private static List<T> Effects<T>(CounterCore core)
    {
        var effects = new List<CoordinatorEffect>();
        core.TakeEffects(effects);
        return [.. effects.OfType<T>()];
    }
}
