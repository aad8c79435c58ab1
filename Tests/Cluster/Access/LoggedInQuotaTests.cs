using System.Text;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Security;
using OrleansMq.Quotas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>Quotas of users that have logged in over Orleans. The broker's clock stands still unless a test advances it.</summary>
public sealed class LoggedInQuotaTests : IAsyncLifetime
{
    private const int Rate = 1_000;
    private static readonly TimeSpan MostOfCall = TimeSpan.FromSeconds(4);
    private readonly TempDirectory _data = new();
    private readonly HoldClock _clock = new();
    private TestSilo _silo = null!;
    private IPartitionGrain _partition = null!;

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, configure: options =>
            SecuredUsers.Enforce(options) with { TimeProvider = _clock });
        await SecuredUsers.CreateAsync(_silo.Services);
        var topicId = (await _silo.Inside.CreateTopicAsync(new NewTopic(SecuredUsers.Topic))).TopicId;
        _partition = _silo.Client.GetPartition(topicId, 0);
    }

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    private BrokerQuotas Quotas => _silo.Services.GetRequiredService<SiloSecurity>().Quotas;

    [Fact]
    public async Task User_pays_its_own_quota_and_nobody_else_does()
    {
        const QuotaKey key = QuotaKey.ProducerByteRate;
        // Each user has its own.
        await Quotas.AlterAsync([new QuotaChange(new QuotaEntity(QuotaEntity.Default),
            new Dictionary<QuotaKey, double?> { [key] = Rate })], default);
        var (alice, root) = (await LogInAsync("alice"), await LogInAsync("root"));
        var held = With(alice, () => _partition.AppendAsync(TestBatches.OfSize(50 * Rate), Acks.All));
        await Wait.UntilAsync(() => Quotas.SecondsThrottled("alice", key) > 0, "the answer is held");
        Assert.Equal(MostOfCall.TotalSeconds, Quotas.SecondsThrottled("alice", key));
        Assert.False(held.IsCompleted);
        await _clock.PassAsync(MostOfCall, held);
        Assert.Equal(ErrorCode.None, (await held).Error);
        Assert.Equal(ErrorCode.ThrottlingQuotaExceeded,
            (await With(alice, () => _partition.AppendAsync(TestBatches.Of("a"), Acks.All))).Error);

        // Neither brokers nor the application's grains, by whichever way.
        Assert.Equal(ErrorCode.None, (await _silo.Inside.ProduceAsync(new TopicPartition(SecuredUsers.Topic, 0),
            TestBatches.OfSize(50 * Rate), Acks.All)).Error);
        Assert.Equal(ErrorCode.None, await _silo.Client.GetGrain<ITicketLookoutGrain>("one").ProduceAsync(SecuredUsers.Topic));
        Assert.Equal("alice", Assert.Single(Quotas.ListUsage(), static usage => usage.Used > 0).Scope.User);
        Assert.Equal(ErrorCode.None, (await With(root, () => _partition.AppendAsync(TestBatches.Of("r"), Acks.All))).Error);
        Assert.Equal(["alice", "root"], Quotas.ListUsage().Where(static usage => usage.Used > 0)
            .Select(static usage => usage.Scope.User).Order());
        Assert.Equal(0, Quotas.SecondsThrottled("root", key));
    }

    private async Task<byte[]> LogInAsync(string user) => (await _silo.Client.GetGrain<ILoginGrain>(GrainKeys.Cluster)
        .LogInAsync("PLAIN", Encoding.UTF8.GetBytes($"\0{user}\0{SecuredUsers.Password}"))).Ticket;

    // The call takes the ticket when it begins.
    private static T With<T>(byte[] ticket, Func<T> call)
    {
        RequestContext.Set(TicketedCalls.Key, ticket);
        try
        {
            return call();
        }
        finally
        {
            RequestContext.Remove(TicketedCalls.Key);
        }
    }
}
