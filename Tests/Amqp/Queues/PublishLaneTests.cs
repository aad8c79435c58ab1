using System.Collections.Concurrent;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Which messages share a batch, and what each is answered.</summary>
public sealed class PublishLaneTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly ContentProperties Persistent = ContentProperties.None.With(BasicProperty.DeliveryMode, [2]);

    private readonly List<(string[] Bodies, Acks Acks)> _stored = [];
    private readonly ConcurrentQueue<TaskCompletionSource<PublishOutcome>> _open = new();
    private readonly SemaphoreSlim _begun = new(0);
    private readonly PublishLane _lane;

    public PublishLaneTests() => _lane = new PublishLane(Store);

    [Fact]
    public async Task Messages_that_come_while_a_batch_is_stored_share_the_next_in_their_order()
    {
        var first = Add("a");
        var others = new[] { Add("b"), Add("c"), Add("d") };
        Assert.Equal([["a"]], _stored.Select(static one => one.Bodies));
        await AnswerAsync(PublishOutcome.Accepted);
        Assert.Equal(PublishOutcome.Accepted, await first.WaitAsync(Patience));
        Assert.Equal([["a"], ["b", "c", "d"]], _stored.Select(static one => one.Bodies));
        Assert.All(others, static task => Assert.False(task.IsCompleted));
        await AnswerAsync(PublishOutcome.Accepted);
        Assert.All(await Task.WhenAll(others).WaitAsync(Patience), static outcome => Assert.Equal(PublishOutcome.Accepted, outcome));
    }

    [Fact]
    public async Task Outcome_is_that_of_the_own_batch()
    {
        var (first, second, third) = (Add("a"), Add("b"), Add("c"));
        await AnswerAsync(PublishOutcome.Unknown);
        (await NextAsync()).SetException(new InvalidOperationException("A bug."));
        var fourth = Add("d");
        await AnswerAsync(PublishOutcome.Accepted);
        Assert.Equal(PublishOutcome.Unknown, await first.WaitAsync(Patience));
        await Assert.ThrowsAsync<InvalidOperationException>(() => second.WaitAsync(Patience));
        await Assert.ThrowsAsync<InvalidOperationException>(() => third.WaitAsync(Patience));
        Assert.Equal(PublishOutcome.Accepted, await fourth.WaitAsync(Patience));
    }

    [Fact]
    public async Task Messages_that_have_waited_long_behind_a_batch_that_failed_are_not_tried()
    {
        var clock = new ManualClock();
        var lane = new PublishLane(Store, limits: static () => (1, PublishLane.MaxBytes), clock);
        var (first, second) = (Add(lane, "a"), Add(lane, "b"));
        clock.Advance(TimeSpan.FromSeconds(15));
        var third = Add(lane, "c");
        await AnswerAsync(PublishOutcome.Unknown);
        Assert.Equal(PublishOutcome.Unknown, await first.WaitAsync(Patience));
        Assert.Equal(PublishOutcome.Unknown, await second.WaitAsync(Patience));
        // A batch that succeeded ends no wait.
        clock.Advance(TimeSpan.FromSeconds(20));
        var fourth = Add(lane, "d");
        clock.Advance(TimeSpan.FromSeconds(20));
        await AnswerAsync(PublishOutcome.Accepted);
        Assert.Equal(PublishOutcome.Accepted, await third.WaitAsync(Patience));
        await AnswerAsync(PublishOutcome.Accepted);
        Assert.Equal(PublishOutcome.Accepted, await fourth.WaitAsync(Patience));
        Assert.Equal([["a"], ["c"], ["d"]], _stored.Select(static one => one.Bodies));
    }

    [Fact]
    public async Task Transient_messages_share_no_batch_with_persistent_ones_and_wait_for_no_disk()
    {
        _ = Add("a");
        _ = (Add("b", isPersistent: false), Add("c", isPersistent: false), Add("d"));
        for (var i = 0; i < 3; i++)
            await AnswerAsync(PublishOutcome.Accepted);
        Assert.Equal([["a"], ["b", "c"], ["d"]], _stored.Select(static one => one.Bodies));
        Assert.Equal([Acks.All, Acks.Replicated, Acks.All], _stored.Select(static one => one.Acks));
    }

    [Fact]
    public async Task Batches_are_bounded_in_messages_and_in_bytes_and_a_larger_message_goes_alone()
    {
        for (var i = 0; i < 2 * PublishLane.MaxMessages + 2; i++)
            _ = Add($"{i}");
        _ = (Add(new string('x', PublishLane.MaxBytes)), Add("y"));
        for (var i = 0; i < 6; i++)
            await AnswerAsync(PublishOutcome.Accepted);
        Assert.Equal([1, PublishLane.MaxMessages, PublishLane.MaxMessages, 1, 1, 1], _stored.Select(static one => one.Bodies.Length));
    }

    [Fact]
    public async Task Store_that_answers_at_once_keeps_the_order_of_each_publisher()
    {
        var stored = new List<string>();
        var lane = new PublishLane(async (batch, _) => (await batch.TryAsync(bytes =>
        {
            lock (stored)
                stored.AddRange(Bodies(bytes));
            return new ValueTask<PublishOutcome>(PublishOutcome.Accepted);
        }))!.Value);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(publisher => Task.Run(async () =>
        {
            var published = Enumerable.Range(0, 500).Select(i => lane.AddAsync(Message($"{publisher} {i}"), null, null)).ToList();
            Assert.All(await Task.WhenAll(published), static outcome => Assert.Equal(PublishOutcome.Accepted, outcome));
        }))).WaitAsync(Patience);
        Assert.Equal(2000, stored.Count);
        foreach (var one in stored.GroupBy(static body => body[0]))
            Assert.Equal(Enumerable.Range(0, 500).Select(i => $"{one.Key} {i}"), one);
    }

    private static Task<PublishOutcome> Add(PublishLane lane, string body) => lane.AddAsync(Message(body), null, null);

    private Task<PublishOutcome> Add(string body, bool isPersistent = true) => _lane.AddAsync(Message(body, isPersistent), null, null);

    private static AmqpMessage Message(string body, bool isPersistent = true) =>
        new("", "q", isPersistent ? Persistent : ContentProperties.None, System.Text.Encoding.UTF8.GetBytes(body), 1);

    private async Task<PublishOutcome> Store(LaneBatch batch, Acks acks)
    {
        var outcome = await batch.TryAsync(bytes =>
        {
            _stored.Add((Bodies(bytes), acks));
            var open = new TaskCompletionSource<PublishOutcome>();
            _open.Enqueue(open);
            _begun.Release();
            return new ValueTask<PublishOutcome>(open.Task);
        });
        return outcome!.Value;
    }

    private async Task AnswerAsync(PublishOutcome outcome) => (await NextAsync()).SetResult(outcome);

    private async Task<TaskCompletionSource<PublishOutcome>> NextAsync()
    {
        Assert.True(await _begun.WaitAsync(Patience));
        Assert.True(_open.TryDequeue(out var open));
        return open;
    }

    private static string[] Bodies(ReadOnlyMemory<byte> batch)
    {
        var bodies = new List<string>();
        using var reader = new RecordReader(batch, CompressionCodecs.Empty);
        while (reader.MoveNext())
            bodies.Add(System.Text.Encoding.UTF8.GetString(reader.Current.Value!.Value.Span));
        return [.. bodies];
    }
}
