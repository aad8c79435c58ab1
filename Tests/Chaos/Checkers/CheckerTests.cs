using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>Checker tests: each broken promise is detected, and a correct broker is not accused.</summary>
public sealed class CheckerTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Correct_broker_is_not_accused()
    {
        var load = await RunAsync(BrokenPromise.None);
        Assert.True(load.Violations.IsEmpty, load.Violations.ToString());
        Assert.True(load.Ledger.Acknowledged > 100);
        Assert.True(load.RecordsRead > 100);
    }

    [Theory]
    [InlineData(BrokenPromise.ForgetsABatch, (int)ViolationKind.Lost)]
    [InlineData(BrokenPromise.TruncatesWhatItAcknowledged, (int)ViolationKind.Lost)]
    [InlineData(BrokenPromise.TruncatesWhatItAcknowledged, (int)ViolationKind.Changed)]
    [InlineData(BrokenPromise.DoublesABatch, (int)ViolationKind.Doubled)]
    [InlineData(BrokenPromise.ReordersBatches, (int)ViolationKind.Reordered)]
    [InlineData(BrokenPromise.LeavesAHole, (int)ViolationKind.Hole)]
    [InlineData(BrokenPromise.ChangesARecord, (int)ViolationKind.Changed)]
    [InlineData(BrokenPromise.ForgetsTheLatestOffset, (int)ViolationKind.WentBack)]
    [InlineData(BrokenPromise.ShowsWhatIsNotCommitted, (int)ViolationKind.BeyondHighWatermark)]
    [InlineData(BrokenPromise.KeepsWhatItRefused, (int)ViolationKind.WrittenThoughRefused)]
    [InlineData(BrokenPromise.DamagesABatch, (int)ViolationKind.Damaged)]
    public async Task Broken_promise_is_detected(BrokenPromise broken, int kind)
    {
        var load = await RunAsync(broken);
        Assert.True(load.Violations.Count((ViolationKind)kind) > 0,
            $"{broken} was not detected as {(ViolationKind)kind}, but as:\n{load.Violations}");
    }

    private static async Task<LoadRun> RunAsync(BrokenPromise broken)
    {
        var broker = new PromisingBroker(broken);
        // One partition and one producer: two consecutive batches are from the same producer unless the probe's batch comes between them.
        // The probe does not rely on refusals either.
        var isAlone = broken is BrokenPromise.ReordersBatches or BrokenPromise.KeepsWhatItRefused;
        var options = new LoadOptions { Partitions = 1, Producers = 1, RecordsPerSecond = 2000,
            ProbeInterval = TimeSpan.FromMilliseconds(isAlone ? int.MaxValue : 5) };
        var load = new LoadRun(options, broker, () => broker, new Random(1));
        load.Start();
        using var deadline = new CancellationTokenSource(Deadline);
        while (!(load.Ledger.Acknowledged > 400 && load.RecordsRead > 400
            && (broken == BrokenPromise.None || broker.HasBroken || !load.Violations.IsEmpty)))
        {
            Assert.False(deadline.IsCancellationRequested,
                $"{load.Ledger.Acknowledged} records were acknowledged, {load.RecordsRead} read.");
            await Task.Delay(1);
        }
        await load.StopAsync();
        // Unreadable bytes are the caller's to report; the checkers have reported before that point.
        if (broken is not (BrokenPromise.ChangesARecord or BrokenPromise.DamagesABatch))
            await load.ReadBackAsync(broker, deadline.Token);
        return load;
    }
}
