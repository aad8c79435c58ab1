using OrleansMq.Coordination;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Coordination;

/// <summary>A read that callers share.</summary>
public sealed class SharedRunTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Callers_during_a_run_share_the_next_one()
    {
        var runs = new List<TaskCompletionSource<int>>();
        var begun = new SemaphoreSlim(0);
        var shared = new SharedRun<int>(() =>
        {
            var run = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (runs)
                runs.Add(run);
            begun.Release();
            return run.Task;
        });
        var first = shared.ReadAsync(default);
        await begun.WaitAsync();
        var later = Enumerable.Range(0, 10).Select(_ => shared.ReadAsync(default)).ToArray();
        using var gone = new CancellationTokenSource();
        var cancelled = shared.ReadAsync(gone.Token);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        Assert.Single(runs);
        runs[0].SetException(new IOException("a failure"));
        await Assert.ThrowsAsync<IOException>(() => first);
        await begun.WaitAsync();
        runs[1].SetResult(2);
        Assert.All(await Task.WhenAll(later), static result => Assert.Equal(2, result));
        Assert.Equal(2, runs.Count);
        var last = shared.ReadAsync(default);
        await begun.WaitAsync();
        runs[2].SetResult(3);
        Assert.Equal(3, await last);
    }

    [Fact]
    public async Task Next_run_begins_beside_a_late_one_and_answers_its_callers()
    {
        var (runs, clock) = (new Runs(), new ManualClock());
        var shared = new SharedRun<int>(runs.RunAsync, TimeSpan.FromSeconds(2), clock);
        var first = shared.ReadAsync(default);
        await runs.Begun.WaitAsync(Patience);
        var second = shared.ReadAsync(default);
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, runs.Count);
        await AdvanceUntilBegunAsync(runs, clock);
        var third = shared.ReadAsync(default);
        runs[1].SetResult(2);
        // The first run is lost; the third caller's begins after its call.
        Assert.All(await Task.WhenAll(first, second).WaitAsync(Patience), static result => Assert.Equal(2, result));
        await runs.Begun.WaitAsync(Patience);
        Assert.False(third.IsCompleted);
        runs[2].SetResult(3);
        Assert.Equal(3, await third.WaitAsync(Patience));
        Assert.Equal(3, runs.Count);
    }

    [Fact]
    public async Task Caller_fails_with_its_own_run_where_no_later_one_is_answered()
    {
        var (runs, clock) = (new Runs(), new ManualClock());
        var shared = new SharedRun<int>(runs.RunAsync, TimeSpan.FromSeconds(2), clock);
        var caller = shared.ReadAsync(default);
        using var gone = new CancellationTokenSource();
        await runs.Begun.WaitAsync(Patience);
        var cancelled = shared.ReadAsync(gone.Token);
        for (var i = 0; i < 3; i++)
            await AdvanceUntilBegunAsync(runs, clock);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled.WaitAsync(Patience));
        Assert.False(caller.IsCompleted);
        runs[0].SetException(new IOException("a failure"));
        Assert.Equal("a failure", (await Assert.ThrowsAsync<IOException>(() => caller.WaitAsync(Patience))).Message);
        Assert.Equal(4, runs.Count);
    }

    private static async Task AdvanceUntilBegunAsync(Runs runs, ManualClock clock)
    {
        var begun = runs.Begun.WaitAsync(Patience);
        while (!begun.IsCompleted)
        {
            clock.Advance(TimeSpan.FromMilliseconds(100));
            await Task.WhenAny(begun, Task.Delay(5));
        }
        Assert.True(await begun);
    }

    /// <summary>Runs that a test answers.</summary>
    private sealed class Runs
    {
        private readonly List<TaskCompletionSource<int>> _runs = [];

        public SemaphoreSlim Begun { get; } = new(0);

        public int Count
        {
            get
            {
                lock (_runs)
                    return _runs.Count;
            }
        }

        public TaskCompletionSource<int> this[int index]
        {
            get
            {
                lock (_runs)
                    return _runs[index];
            }
        }

        public Task<int> RunAsync()
        {
            var run = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (_runs)
                _runs.Add(run);
            Begun.Release();
            return run.Task;
        }
    }
}
