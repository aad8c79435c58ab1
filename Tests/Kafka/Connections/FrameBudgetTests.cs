using OrleansMq.Gateways.Connections;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>The memory of requests in flight, frame by frame and step by step.</summary>
public sealed class FrameBudgetTests : IDisposable
{
    private const int Mega = 1 << 20;

    private readonly FrameBudget _budget = new(8 * Mega);
    private readonly CancellationTokenSource _stop = new();

    public void Dispose() => _stop.Dispose();

    [Fact]
    public void Announced_length_takes_no_more_than_the_first_step()
    {
        Assert.True(Take(new RequestFrame(100 * Mega)).IsCompletedSuccessfully);
        Assert.Equal(RequestFrame.FirstBytes, _budget.Used);
        Assert.True(Take(new RequestFrame(10)).IsCompletedSuccessfully);
        Assert.Equal(RequestFrame.FirstBytes + 10, _budget.Used);
    }

    [Fact]
    public void Frame_grows_to_its_length_and_returns_all()
    {
        var frame = new RequestFrame(5 * Mega);
        Fill(frame);
        Assert.Equal(5 * Mega, _budget.Used);
        _budget.Return(frame);
        Assert.Equal(0, _budget.Used);
    }

    [Fact]
    public void Frames_that_need_more_than_the_budget_together_grow_one_after_the_other()
    {
        var frames = Enumerable.Range(0, 8).Select(_ => new RequestFrame(6 * Mega)).ToList();
        var growing = frames.Select(frame => FillAsync(frame)).ToList();
        var done = 0;
        while (growing.FirstOrDefault(static task => task.IsCompletedSuccessfully) is { } grown)
        {
            // The budget, and one frame beyond it.
            Assert.InRange(_budget.Used, 0, (8 + 6) * Mega);
            var frame = frames[growing.IndexOf(grown)];
            Assert.Equal(0, frame.Missing);
            _budget.Return(frame);
            frames.Remove(frame);
            growing.Remove(grown);
            done++;
            SpinWait.SpinUntil(() => growing.Count == 0 || growing.Any(static task => task.IsCompleted), KafkaServer.Patience);
        }
        Assert.Equal((8, 0L), (done, _budget.Used));
    }

    [Fact]
    public void Small_request_is_served_while_large_ones_wait()
    {
        var frames = Enumerable.Range(0, 4).Select(_ => new RequestFrame(50 * Mega)).ToList();
        var growing = frames.Select(frame => FillAsync(frame)).ToList();
        // The first is beyond the budget until it has all, the others have what is left.
        Assert.Equal([true, false, false, false], growing.Select(static task => task.IsCompleted));
        Assert.True(frames[1].IsWaiting && _budget.Waiting == 3);
        var small = Enumerable.Range(0, 7).Select(_ => Take(new RequestFrame(RequestFrame.FirstBytes))).ToList();
        Assert.All(small, static taking => Assert.True(taking.IsCompletedSuccessfully));
    }

    [Fact]
    public void Frames_of_an_ordinary_size_grow_while_large_ones_hold_all_that_they_may()
    {
        var budget = new FrameBudget(512L * Mega);
        var slow = Enumerable.Range(0, 7).Select(_ => new RequestFrame(100 * Mega)).ToList();
        // Each holds 64 MiB, and waits for more or receives slowly.
        foreach (var frame in slow)
        {
            while (frame.Taken < 64 * Mega)
            {
                if (!budget.TakeAsync(frame, _stop.Token).IsCompletedSuccessfully)
                    break;
                frame.Grow();
                frame.Advance(frame.Room.Length);
            }
        }
        for (var number = 0; number < 100; number++)
        {
            var ordinary = new RequestFrame(Mega);
            while (ordinary.Missing > 0)
            {
                Assert.True(budget.TakeAsync(ordinary, _stop.Token).IsCompletedSuccessfully);
                ordinary.Grow();
                ordinary.Advance(ordinary.Room.Length);
            }
            budget.Return(ordinary);
            ordinary.Dispose();
        }
        slow.ForEach(static frame => frame.Dispose());
    }

    [Fact]
    public void Frame_that_gives_up_leaves_the_queue()
    {
        var first = new RequestFrame(50 * Mega);
        var second = new RequestFrame(50 * Mega);
        Fill(first);
        var growing = FillAsync(second);
        _stop.Cancel();
        Assert.True(SpinWait.SpinUntil(() => growing.IsCanceled, KafkaServer.Patience));
        Assert.False(second.IsWaiting);
        _budget.Return(second);
        _budget.Return(first);
        Assert.Equal((0L, 0), (_budget.Used, _budget.Waiting));
    }

    private ValueTask Take(RequestFrame frame) => _budget.TakeAsync(frame, _stop.Token);

    private void Fill(RequestFrame frame) => Assert.True(FillAsync(frame).IsCompletedSuccessfully);

    private async Task FillAsync(RequestFrame frame)
    {
        while (frame.Missing > 0)
        {
            await Take(frame);
            frame.Grow();
            frame.Advance(frame.Room.Length);
        }
    }
}
