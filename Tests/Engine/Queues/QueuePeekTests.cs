using OrleansMq.Api;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Peeks that would read for long.</summary>
public sealed class QueuePeekTests
{
    [Fact]
    public async Task Peek_whose_filter_matches_nothing_ends_after_two_seconds()
    {
        await using var rig = await PartitionRig.StartAsync();
        var cursors = rig.Partition.Cursors;
        await cursors.Queues.CreateAsync(new NewQueue("q") { Options = new QueueOptions { Filter = "size > 10" } }, default)
            .WaitAsync(PartitionCursorsActions.Patience);
        Assert.Equal(ErrorCode.None, (await rig.AppendAsync("one")).Error);
        // The peek has begun, and waits for its turn while its time passes.
        using var turn = new ManualResetEventSlim();
        var waiting = cursors.AskAsync(_ => turn.Wait(PartitionCursorsActions.Patience));
        var peeking = cursors.Queues.PeekAsync("q", 10, default);
        rig.Clock.Advance(TimeSpan.FromSeconds(2));
        turn.Set();
        Assert.True(await waiting.WaitAsync(PartitionCursorsActions.Patience));
        var refused = await Assert.ThrowsAsync<BrokerException>(() => peeking.WaitAsync(PartitionCursorsActions.Patience));
        Assert.Equal(ErrorCode.RequestTimedOut, refused.Code);
        Assert.Contains("filter of queue 'q'", refused.Message, StringComparison.Ordinal);
    }
}
