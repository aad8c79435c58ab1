using OrleansMq.Grains.Coordination;

namespace OrleansMq.Tests.Cluster.Coordination;

/// <summary>Requests that take longer than one call may.</summary>
public sealed class RequestWaitsTests
{
    private readonly RequestWaits _waits = new(TimeProvider.System, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(1));
    private readonly TaskCompletionSource<string> _answer = new();
    private readonly Guid _id = Guid.NewGuid();
    private int _begun;

    [Fact]
    public async Task Request_is_sent_once_for_any_number_of_waits()
    {
        var waits = new RequestWaits(TimeProvider.System, TimeSpan.FromMilliseconds(1), TimeSpan.FromMinutes(1));
        Assert.Null(await waits.WaitAsync(_id, Begin));
        Assert.Null(await waits.WaitAsync(_id, Begin));
        _ = Task.Run(() => _answer.SetResult("joined"));
        string? answer;
        using var deadline = new CancellationTokenSource(Wait.Deadline);
        // The next call continues the wait.
        while ((answer = await waits.WaitAsync(_id, Begin)) is null)
            deadline.Token.ThrowIfCancellationRequested();
        Assert.Equal(("joined", 1, 0), (answer, _begun, waits.Count));
    }

    [Fact]
    public async Task Unclaimed_answer_expires()
    {
        Assert.Null(await _waits.WaitAsync(_id, Begin));
        Assert.Equal(1, _waits.Count);
        _answer.SetResult("joined");
        await Wait.UntilAsync(() => _waits.Count == 0, "it is forgotten");
    }

    [Fact]
    public async Task Immediate_answer_leaves_no_state()
    {
        _answer.SetResult("joined");
        Assert.Equal("joined", await _waits.WaitAsync(_id, Begin));
        Assert.Equal(0, _waits.Count);
    }

    private Task<string> Begin()
    {
        _begun++;
        return _answer.Task;
    }
}
