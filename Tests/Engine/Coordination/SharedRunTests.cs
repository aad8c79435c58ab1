using OrleansMq.Coordination;

namespace OrleansMq.Tests.Engine.Coordination;

/// <summary>A read that callers share.</summary>
public sealed class SharedRunTests
{
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
}
