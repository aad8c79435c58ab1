using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Consumers;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>Which records reach their grain's call at all.</summary>
public sealed class GrainCallerTests : IAsyncLifetime
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(10);

    private readonly TempDirectory _data = new();
    private readonly ManualClock _clock = new();
    private TestSilo? _silo;
    private GrainCaller? _caller;

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path);
        _caller = new GrainCaller(_silo.Services.GetRequiredService<IGrainFactory>(),
            new GrainClasses(_silo.Services.GetRequiredService<IClusterManifestProvider>(), TimeProvider.System), TimeSpan.FromDays(1),
            1 << 20, new LostCalls(_silo.Client, s_interval, _clock), NullLogger.Instance);
    }

    public async Task DisposeAsync()
    {
        await _silo!.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Records_whose_consumer_ends_while_they_wait_for_a_place_are_not_delivered()
    {
        using var ended = new CancellationTokenSource();
        using var places = new SemaphoreSlim(0);
        var delivery = new Delivery(1, ended.Token);
        var delivering = DeliverAsync(delivery, places);
        await ended.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => delivering);
        // A place that is free does not help.
        places.Release();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => DeliverAsync(delivery, places));
        Assert.Equal(0, delivery.Calls);
        Assert.Equal(1, places.CurrentCount);
        Assert.Equal(DeliveryOutcome.Served, (await DeliverAsync(new Delivery(1, CancellationToken.None), places)).Outcome);
    }

    [Fact]
    public async Task Call_under_way_is_cancelled_when_what_received_its_records_ends()
    {
        using var ended = new CancellationTokenSource();
        using var places = new SemaphoreSlim(1);
        var working = new TaskCompletionSource<CancellationToken>();
        var delivering = DeliverAsync(new Delivery(1, ended.Token)
        {
            Working = async cancellationToken =>
            {
                working.SetResult(cancellationToken);
                await Task.Delay(Timeout.Infinite, cancellationToken);
                return new DeliveryAnswer(1, DeliveryOutcome.Served);
            },
        }, places);
        var token = await working.Task.WaitAsync(Wait.Deadline);
        Assert.False(token.IsCancellationRequested);
        await ended.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => delivering);
        Assert.True(token.IsCancellationRequested);
        Assert.Equal(1, places.CurrentCount);
    }

    [Fact]
    public async Task Record_beyond_the_largest_message_is_not_delivered_and_the_cause_says_its_size_and_what_to_do()
    {
        using var places = new SemaphoreSlim(1);
        var delivery = new Delivery(1 << 20, CancellationToken.None);
        var answer = await DeliverAsync(delivery, places);
        Assert.Equal((0, DeliveryOutcome.Unreadable, 0), (answer.Count, answer.Outcome, delivery.Calls));
        Assert.Contains("The record has 1048576 bytes", answer.Cause, StringComparison.Ordinal);
        Assert.Contains("SiloMessagingOptions.MaxMessageBodySize", answer.Cause, StringComparison.Ordinal);
        Assert.Equal(DeliveryOutcome.Served, (await DeliverAsync(new Delivery(900_000, CancellationToken.None), places)).Outcome);
    }

    [Fact]
    public async Task Record_whose_call_timed_out_at_a_grain_that_cannot_be_activated_has_not_failed()
    {
        using var places = new SemaphoreSlim(1);
        var answer = await DeliverAsync(new Delivery(1, CancellationToken.None)
        {
            Working = static _ => throw new TimeoutException("no answer"),
            Finding = static () => throw new IOException("the storage is away"),
        }, places);
        Assert.Equal(DeliveryOutcome.Unreachable, answer.Outcome);
        Assert.Contains("no answer", answer.Cause, StringComparison.Ordinal);
        // One that works at the record has.
        Assert.Equal(DeliveryOutcome.Failed, (await DeliverAsync(new Delivery(1, CancellationToken.None)
        {
            Working = static _ => throw new TimeoutException("no answer"),
            Finding = static () => Task.FromResult<long?>(1),
        }, places)).Outcome);
    }

    [Fact]
    public async Task Record_whose_call_is_lost_has_not_failed_and_a_request_that_still_comes_is_given_up()
    {
        using var places = new SemaphoreSlim(1);
        var token = CancellationToken.None;
        var delivering = DeliverAsync(new Delivery(1, CancellationToken.None)
        {
            Working = cancellationToken =>
            {
                token = cancellationToken;
                return new TaskCompletionSource<DeliveryAnswer>().Task;
            },
        }, places);
        _clock.Advance(s_interval);
        // The wait for an answer right behind that of the question.
        _clock.Advance(s_interval);
        var answer = await delivering.WaitAsync(Wait.Deadline);
        Assert.Equal((0, DeliveryOutcome.Unreachable), (answer.Count, answer.Outcome));
        Assert.Contains("was lost between two silos", answer.Cause, StringComparison.Ordinal);
        Assert.True(token.IsCancellationRequested);
        Assert.Equal(1, places.CurrentCount);
    }

    private Task<DeliveryAnswer> DeliverAsync(Delivery delivery, SemaphoreSlim places) =>
        _caller!.DeliverAsync(GrainId.Create("fragile", "k"), delivery, places, CancellationToken.None);

    private sealed class Delivery(long size, CancellationToken ended) : IGrainDelivery
    {
        public string Origin => "topic test";
        public string Installation => "AddOrleansMqConsumers()";
        public IEnumerable<long> Offsets => [1];
        public long Size => size;
        public CancellationToken Ended => ended;
        public int Calls { get; private set; }
        public Func<CancellationToken, Task<DeliveryAnswer>>? Working { get; init; }

        public Task<DeliveryAnswer> CallAsync(IGrainFactory grains, GrainId grain, CancellationToken cancellationToken)
        {
            Calls++;
            return Working?.Invoke(cancellationToken) ?? Task.FromResult(new DeliveryAnswer(1, DeliveryOutcome.Served));
        }

        public Func<Task<long?>>? Finding { get; init; }

        public Task<long?> FindCurrentAsync(IGrainFactory grains, GrainId grain) => Finding?.Invoke() ?? Task.FromResult<long?>(null);

        public Task<bool> IsDeliveringAsync(IGrainFactory grains, GrainId grain) => Task.FromResult(false);
    }
}
