using System.Collections.Concurrent;
using System.Net;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Silo.Configuration;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Consumers over HTTP whose process is gone, without having left.</summary>
public sealed class GoneConsumerTests : IAsyncLifetime
{
    private static readonly ConsumerOptions Options = new() { GroupId = "gone", AutoOffsetReset = AutoOffsetReset.Earliest };

    // A poll waits for long, so that it is not at its end when it breaks off. A session lasts longer than any wait of the test: only the
    // broken poll can end it in time.
    private readonly RunningBroker _broker = new()
    {
        Settings = new BrokerSettings
        {
            Kafka = null,
            Http = new ListenAddress(IPAddress.Loopback, 0),
            DrainTimeout = TimeSpan.FromSeconds(20),
            GroupConsumerHeartbeatInterval = TimeSpan.FromSeconds(20),
            GroupConsumerSessionTimeout = 5 * RunningBroker.Patience,
        },
    };

    public Task InitializeAsync() => _broker.InitializeAsync();

    public Task DisposeAsync() => _broker.DisposeAsync();

    [Fact]
    public async Task Partitions_of_a_consumer_whose_poll_breaks_off_are_assigned_to_others_within_seconds()
    {
        var polls = new Polls(_broker.Script.Groups);
        _broker.Script.OnGroups = polls;
        var gone = new HttpBroker(_broker.Http.BaseAddress!);
        using var other = new HttpBroker(_broker.Http.BaseAddress!);
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

        gone.Dispose();
        await UntilAsync(() => living.Assignment.Count == 2);
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
