using OrleansMq.Grains.Topics;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Turns of the changes of topics.</summary>
public sealed class TopicChangesTests
{
    private readonly TopicChanges _changes = new();

    [Fact]
    public async Task Changes_of_one_topic_take_turns_and_others_go_on()
    {
        var first = await _changes.BeginAsync("orders");
        var second = _changes.BeginAsync("orders");
        (await _changes.BeginAsync("payments")).Dispose();
        Assert.False(second.IsCompleted);
        Assert.Null(await _changes.TryBeginAsync("orders"));
        first.Dispose();
        (await second.WaitAsync(Wait.Deadline)).Dispose();
        (await _changes.TryBeginAsync("orders"))!.Dispose();
    }

    [Fact]
    public async Task End_waits_for_what_is_under_way_and_lets_nothing_begin()
    {
        var first = await _changes.BeginAsync("orders");
        var ending = _changes.EndAsync();
        var later = _changes.BeginAsync("payments");
        Assert.False(ending.IsCompleted);
        first.Dispose();
        await ending.WaitAsync(Wait.Deadline);
        Assert.False(later.IsCompleted);
        _changes.Release();
        (await later.WaitAsync(Wait.Deadline)).Dispose();
    }

    [Fact]
    public async Task Two_ends_with_two_changes_under_way_both_come()
    {
        var changes = new[] { await _changes.BeginAsync("orders"), await _changes.BeginAsync("payments") };
        var ends = new[] { _changes.EndAsync(), _changes.EndAsync() };
        foreach (var change in changes)
            change.Dispose();
        await Task.WhenAll(ends).WaitAsync(Wait.Deadline);
        _changes.Release();
        (await _changes.BeginAsync("orders").WaitAsync(Wait.Deadline)).Dispose();
    }
}
