using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Connections;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>The memory of the objects that JSON bodies are parsed to.</summary>
public sealed class ParsedBodiesTests
{
    private const int Mega = 1 << 20;
    private const int Factor = ParsedBodies.ObjectBytes;

    private readonly ManualTimeProvider _time = new();
    private readonly ParsedBodies _bodies;

    public ParsedBodiesTests() => _bodies = new ParsedBodies("HTTP", 2L * Mega * Factor, _time, EngineLog.Silent);

    [Fact]
    public async Task Bodies_wait_in_order_and_one_above_the_budget_gets_it_alone()
    {
        using var first = await _bodies.TryTakeAsync(Mega, default);
        var large = _bodies.TryTakeAsync(3 * Mega, default).AsTask();
        var small = _bodies.TryTakeAsync(ParsedBodies.FreeBytes, default).AsTask();
        // The small one would fit, and comes after the large one.
        Assert.Equal((2, (long)Mega * Factor), (_bodies.Waiting, _bodies.Used));
        first!.Dispose();
        var held = await large.WaitAsync(RunningBroker.Patience);
        Assert.Equal((1, 3L * Mega * Factor), (_bodies.Waiting, _bodies.Used));
        held!.Dispose();
        (await small.WaitAsync(RunningBroker.Patience))!.Dispose();
        // What is returned twice counts once.
        held.Dispose();
        Assert.Equal((0, 0L), (_bodies.Waiting, _bodies.Used));
    }

    [Fact]
    public async Task Body_that_waits_for_too_long_gets_none_and_leaves_the_queue()
    {
        using var first = await _bodies.TryTakeAsync(2 * Mega, default);
        var late = _bodies.TryTakeAsync(Mega, default).AsTask();
        _time.Advance(ParsedBodies.MostWait - TimeSpan.FromSeconds(1));
        Assert.False(late.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(await late.WaitAsync(RunningBroker.Patience));
        Assert.Equal((0, 2L * Mega * Factor), (_bodies.Waiting, _bodies.Used));
    }

    [Fact]
    public async Task Client_that_goes_leaves_the_queue()
    {
        using var gone = new CancellationTokenSource();
        using var first = await _bodies.TryTakeAsync(2 * Mega, default);
        var waiting = _bodies.TryTakeAsync(Mega, gone.Token).AsTask();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(RunningBroker.Patience));
        Assert.Equal(0, _bodies.Waiting);
    }
}
