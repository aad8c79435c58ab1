using OrleansMq.Grains.Storage;
using OrleansMq.Tests.Cluster.Brokers;

namespace OrleansMq.Tests.Cluster.Storage;

/// <summary>Requests that arrive while others are under way share a batch.</summary>
public sealed class RequestBatchesTests
{
    [Fact]
    public async Task Requests_that_arrive_meanwhile_share_the_next_batch()
    {
        var first = new TaskCompletionSource();
        var began = new TaskCompletionSource();
        var sizes = new List<int>();
        var batches = new RequestBatches<int, int>(async requests =>
        {
            sizes.Add(requests.Count);
            began.TrySetResult();
            if (sizes.Count == 1)
                await first.Task;
            return [.. requests.Select(request => request * 10)];
        }, lanes: 1, most: 4, Wait.Deadline, TimeProvider.System);

        var alone = batches.RunAsync(0);
        await began.Task.WaitAsync(Wait.Deadline);
        var others = Enumerable.Range(1, 6).Select(batches.RunAsync).ToArray();
        first.SetResult();
        Assert.Equal(0, await alone.WaitAsync(Wait.Deadline));
        var answers = await Task.WhenAll(others).WaitAsync(Wait.Deadline);
        Assert.Equal([10, 20, 30, 40, 50, 60], answers);
        Assert.Equal([1, 4, 2], sizes);
    }

    [Fact]
    public async Task Batch_that_fails_fails_its_requests_and_no_others()
    {
        var batches = new RequestBatches<int, int>(requests => requests.Contains(1)
            ? throw new InvalidOperationException("no")
            : Task.FromResult<IReadOnlyList<int>>([.. requests]), lanes: 1, most: 1, Wait.Deadline, TimeProvider.System);
        await Assert.ThrowsAsync<InvalidOperationException>(() => batches.RunAsync(1).WaitAsync(Wait.Deadline));
        Assert.Equal(2, await batches.RunAsync(2).WaitAsync(Wait.Deadline));
    }

    [Fact]
    public async Task Failure_that_may_be_of_one_request_fails_that_one_alone()
    {
        var (batches, began, first) = Failing(failure => failure is InvalidOperationException, TimeProvider.System);
        var alone = batches.RunAsync(0);
        await began.WaitAsync(Wait.Deadline);
        var (good, bad, other) = (batches.RunAsync(2), batches.RunAsync(1), batches.RunAsync(3));
        first.SetResult();
        var answers = await Task.WhenAll(alone, good, other).WaitAsync(Wait.Deadline);
        Assert.Equal([0, 2, 3], answers);
        await Assert.ThrowsAsync<InvalidOperationException>(() => bad.WaitAsync(Wait.Deadline));
    }

    [Fact]
    public async Task Other_failure_fails_the_batch()
    {
        var (batches, began, first) = Failing(failure => failure is TimeoutException, TimeProvider.System);
        var alone = batches.RunAsync(0);
        await began.WaitAsync(Wait.Deadline);
        var (good, bad) = (batches.RunAsync(2), batches.RunAsync(1));
        first.SetResult();
        await alone.WaitAsync(Wait.Deadline);
        await Assert.ThrowsAsync<InvalidOperationException>(() => good.WaitAsync(Wait.Deadline));
        await Assert.ThrowsAsync<InvalidOperationException>(() => bad.WaitAsync(Wait.Deadline));
    }

    [Fact]
    public async Task Requests_carried_out_apart_keep_the_others_waiting_for_a_bounded_time()
    {
        var time = new ManualTime();
        var (batches, began, first) = Failing(_ => true, time, slow: 2);
        var alone = batches.RunAsync(0);
        await began.WaitAsync(Wait.Deadline);
        var (bad, slow, late) = (batches.RunAsync(1), batches.RunAsync(2), batches.RunAsync(3));
        first.SetResult();
        await alone.WaitAsync(Wait.Deadline);
        Assert.Equal(2, await slow.WaitAsync(Wait.Deadline));
        await Assert.ThrowsAsync<InvalidOperationException>(() => bad.WaitAsync(Wait.Deadline));
        // The rest comes after those that wait by then, and is not refused for the failure of another.
        Assert.Equal(3, await late.WaitAsync(Wait.Deadline));
    }

    // Every batch with a 1 fails; the first waits.
    private static (RequestBatches<int, int> Batches, Task Began, TaskCompletionSource First) Failing(Func<Exception, bool> mayBeOfOne,
        TimeProvider time, int slow = -1)
    {
        var (began, first) = (new TaskCompletionSource(), new TaskCompletionSource());
        var batches = new RequestBatches<int, int>(async requests =>
        {
            began.TrySetResult();
            await first.Task;
            if (requests.Contains(1))
                throw new InvalidOperationException("no");
            if (requests.Contains(slow))
                ((ManualTime)time).Advance(TimeSpan.FromSeconds(4));
            return [.. requests];
        }, lanes: 1, most: 4, Wait.Deadline, time, mayBeOfOne);
        return (batches, began.Task, first);
    }

    [Fact]
    public async Task Request_that_waited_too_long_is_not_carried_out()
    {
        var time = new ManualTime();
        var first = new TaskCompletionSource();
        var began = new TaskCompletionSource();
        var done = new List<int>();
        var batches = new RequestBatches<int, int>(async requests =>
        {
            began.TrySetResult();
            await first.Task;
            done.AddRange(requests);
            return [.. requests];
        }, lanes: 1, most: 2, TimeSpan.FromSeconds(15), time);

        var alone = batches.RunAsync(0);
        await began.Task.WaitAsync(Wait.Deadline);
        var left = Enumerable.Range(1, 5).Select(batches.RunAsync).ToArray();
        time.Advance(TimeSpan.FromSeconds(15));
        var fresh = batches.RunAsync(6);
        first.SetResult();

        Assert.Equal((0, 6), (await alone.WaitAsync(Wait.Deadline), await fresh.WaitAsync(Wait.Deadline)));
        foreach (var request in left)
            await Assert.ThrowsAsync<TimeoutException>(() => request.WaitAsync(Wait.Deadline));
        Assert.Equal([0, 6], done);
    }
}
