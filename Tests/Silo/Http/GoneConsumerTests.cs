using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Consumers over HTTP whose process is gone, without having left.</summary>
public sealed class GoneConsumerTests(RunningBroker broker) : IClassFixture<RunningBroker>
{
    private static readonly ConsumerOptions Options = new() { GroupId = "gone", AutoOffsetReset = AutoOffsetReset.Earliest };

    [Fact]
    public async Task Partitions_of_a_consumer_whose_poll_breaks_off_are_assigned_to_others_within_seconds()
    {
        var polls = new Polls(broker.Script.Groups);
        broker.Script.OnGroups = polls;
        var gone = new HttpBroker(broker.Http.BaseAddress!);
        using var other = new HttpBroker(broker.Http.BaseAddress!);
        var client = new OrleansMqClient(other);
        const string Topic = "gone";
        await client.Admin.CreateTopicAsync(Topic, 2);
        var dying = new OrleansMqClient(gone).CreateConsumer<string, string>(Options); // Not closed: its process dies.
        dying.Subscribe(Topic);
        await UntilAsync(() => dying.Assignment.Count == 2);
        await using var living = client.CreateConsumer<string, string>(Options);
        living.Subscribe(Topic);
        await UntilAsync(() => living.Assignment.Count == 1);
        // Between two of its polls nothing waits for it, and the session decides.
        await UntilAsync(() => polls.Members == 2);

        var began = TimeProvider.System.GetTimestamp();
        gone.Dispose();
        await UntilAsync(() => living.Assignment.Count == 2);
        Assert.InRange(TimeProvider.System.GetElapsedTime(began), TimeSpan.Zero, TimeSpan.FromSeconds(40)); // The session is 45 s.
        broker.Script.OnGroups = null;
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        using var deadline = new CancellationTokenSource(RunningBroker.Patience);
        while (!condition())
            await Task.Delay(20, deadline.Token);
    }

    /// <summary>Knows the members of waiting heartbeats.</summary>
    private sealed class Polls(IGroupCoordinator inner) : IGroupCoordinator
    {
        private readonly ConcurrentDictionary<ConsumerGroupHeartbeat, bool> _waiting = new(ReferenceEqualityComparer.Instance);

        public int Members => _waiting.Keys.Select(static poll => poll.MemberId).Distinct().Count();

        public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default)
        {
            if (request is not ConsumerGroupHeartbeat poll || poll.MaxWait == TimeSpan.Zero)
                return await inner.SendAsync(request, cancellationToken);
            var answer = inner.SendAsync(request, cancellationToken);
            _waiting[poll] = true;
            try
            {
                return await answer;
            }
            finally
            {
                _waiting.TryRemove(poll, out _);
            }
        }

        public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) =>
            inner.FindCoordinatorAsync(groupId, cancellationToken);

        public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default) =>
            inner.ListGroupsAsync(cancellationToken);
    }
}
