using System.Runtime.CompilerServices;
using OrleansMq.Partitions;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>The turns of an actor of a partition.</summary>
public sealed class PartitionTurnsTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Actions_behind_one_that_throws_are_carried_out_and_the_partition_is_offline()
    {
        await using var rig = await PartitionRig.StartAsync();
        var turns = new Turns(rig.Partition);
        using var mayGo = new ManualResetEventSlim();
        turns.Post(mayGo.Wait);
        turns.Post(() => throw new InvalidOperationException("A bug."));
        var isRun = false;
        turns.Post(() => isRun = true);
        turns.Post(() => throw new InvalidOperationException("Another one."));
        var ended = turns.EndAsync();
        mayGo.Set();
        await ended.WaitAsync(Patience);
        Assert.True(isRun);
        Assert.Contains("A bug.", rig.Partition.OfflineReason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Actions_are_collected_after_their_turn()
    {
        await using var rig = await PartitionRig.StartAsync();
        var turns = new Turns(rig.Partition);
        var payload = Post(turns);
        using var patience = new CancellationTokenSource(Patience);
        while (payload.IsAlive)
        {
            await Task.Delay(10, patience.Token);
            GC.Collect();
        }
        GC.KeepAlive(turns);
    }

    [Fact]
    public async Task Signal_after_a_turn_has_read_brings_another_turn()
    {
        await using var rig = await PartitionRig.StartAsync();
        var turns = new Turns(rig.Partition);
        var value = 0;
        var (seen, isChanged) = (new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), false);
        turns.BeforeTaking = () =>
        {
            if (value == 1)
                seen.TrySetResult();
            if (isChanged)
                return;
            isChanged = true;
            value = 1;
            turns.Signal();
        };
        turns.Post(static () => { });
        await seen.Task.WaitAsync(Patience);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference Post(Turns turns)
    {
        var payload = new byte[100];
        turns.Post(() => payload[0]++);
        return new WeakReference(payload);
    }

    private sealed class Turns(Partition partition) : PartitionTurns(partition)
    {
        public Action BeforeTaking { get; set; } = static () => { };

        protected override void RunTurn()
        {
            BeforeTaking();
            TakePosted();
            RunPosted();
        }
    }
}
