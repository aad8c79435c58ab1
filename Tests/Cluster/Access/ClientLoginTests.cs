using System.Reflection;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using OrleansMq.Client;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Topics;
using OrleansMq.Security;
using OrleansMq.Tests.Client;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>When a client logs in again, and what its calls carry meanwhile.</summary>
public sealed class ClientLoginTests : IDisposable
{
    private static readonly TimeSpan Life = TimeSpan.FromMinutes(10);
    private static readonly CallTarget Target = new(GrainId.Create("omq.topic", "orders"), typeof(ITopicGrain));
    private readonly ManualClock _clock = new();
    private readonly RecordedLog _log = new();
    private readonly LoginScript _script;
    private readonly ServiceProvider _services;
    private ClientLogin? _login;

    public ClientLoginTests()
    {
        var grains = DispatchProxy.Create<IGrainFactory, LoginScript>();
        _script = (LoginScript)(object)grains;
        _services = new ServiceCollection().AddSingleton(grains).AddSingleton<TimeProvider>(_clock)
            .AddSingleton<ILoggerFactory>(_log).BuildServiceProvider();
    }

    public void Dispose()
    {
        _login?.Dispose();
        _services.Dispose();
    }

    [Fact]
    public async Task Login_is_renewed_when_a_third_of_its_life_is_left()
    {
        var login = await StartAsync(new OrleansLogin { User = "alice", Password = "secret" });
        Assert.Equal(["PLAIN \0alice\0secret"], _script.Logins);
        Assert.Equal([1], login.For(Target));
        _clock.Advance((Life * 2 / 3) - TimeSpan.FromSeconds(1));
        Assert.Single(_script.Logins);
        _clock.Advance(TimeSpan.FromSeconds(1));
        await Wait.UntilAsync(() => login.For(Target) is [2], "the login is renewed");
        // Of the second, whose life counts anew.
        await NextTimerAsync();
        _clock.Advance(Life * 2 / 3);
        await Wait.UntilAsync(() => login.For(Target) is [3], "the login is renewed again");
    }

    [Fact]
    public async Task Ticket_that_cannot_be_renewed_is_used_to_its_end_and_then_fails_calls_with_the_reason()
    {
        var login = await StartAsync(new OrleansLogin { User = "alice", Password = "secret" });
        _script.Failure = new BrokerException(ErrorCode.SaslAuthenticationFailed, "no longer");
        _clock.Advance(Life * 2 / 3);
        await Wait.UntilAsync(() => _script.Logins.Count == 2, "the login is tried");
        await NextTimerAsync();
        Assert.Equal([1], login.For(Target));
        Assert.Contains("no longer", Assert.Single(_log.At(LogLevel.Warning)), StringComparison.Ordinal);
        _clock.Advance(Life / 3);
        var expired = Assert.Throws<BrokerException>(() => login.For(Target));
        Assert.Equal(ErrorCode.SaslAuthenticationFailed, expired.Code);
        Assert.Contains("no longer", expired.Message, StringComparison.Ordinal);
        _script.Failure = null;
        await Wait.UntilAsync(() =>
        {
            _clock.Advance(TimeSpan.FromSeconds(10));
            return _script.Logins.Count > 3 && IsLoggedIn();
        }, "the login is renewed in the end");
        Assert.DoesNotContain("secret", string.Join('\n', _log.Lines), StringComparison.Ordinal);

        bool IsLoggedIn()
        {
            try
            {
                return login.For(Target) is [> 1];
            }
            catch (BrokerException)
            {
                return false;
            }
        }
    }

    [Fact]
    public async Task Start_waits_for_brokers_that_cannot_tell_yet()
    {
        _script.Failure = new BrokerException(ErrorCode.CoordinatorNotAvailable, "the store is away");
        var starting = StartAsync(new OrleansLogin { User = "alice", Password = "secret" });
        await NextTimerAsync();
        Assert.False(starting.IsCompleted);
        _script.Failure = null;
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal([2], (await starting.WaitAsync(Wait.Deadline)).For(Target));
    }

    [Fact]
    public async Task Each_login_takes_a_token_that_is_good_then()
    {
        var count = 0;
        var login = await StartAsync(new OrleansLogin { Token = _ => new($"token-{++count}") });
        _clock.Advance(Life * 2 / 3);
        await Wait.UntilAsync(() => login.For(Target) is [2], "the login is renewed");
        Assert.Equal(["OAUTHBEARER n,,\u0001auth=Bearer token-1\u0001\u0001", "OAUTHBEARER n,,\u0001auth=Bearer token-2\u0001\u0001"],
            _script.Logins);
    }

    [Fact]
    public async Task Refused_ticket_is_replaced_at_once_by_one_login_for_all_calls()
    {
        var login = await StartAsync(new OrleansLogin { User = "alice", Password = "secret" });
        var first = login.For(Target)!;
        var renewed = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => login.RenewAsync(first).AsTask()));
        Assert.All(renewed, Assert.True);
        Assert.Equal(2, _script.Logins.Count);
        Assert.Equal([2], login.For(Target));
        // A call that was on its way with the first.
        Assert.True(await login.RenewAsync(first));
        Assert.Equal(2, _script.Logins.Count);
    }

    [Fact]
    public async Task Logins_after_refusals_become_rare_where_they_do_not_help()
    {
        var login = await StartAsync(new OrleansLogin { User = "alice", Password = "secret" });
        var logins = new List<int>();
        for (var second = 0; second < 30; second++)
        {
            // Each call is refused, with whatever ticket.
            for (var call = 0; call < 20; call++)
                await login.RenewAsync(login.For(Target)!);
            if (_script.Logins.Count > logins.Count + 1)
                logins.Add(second);
            _clock.Advance(TimeSpan.FromSeconds(1));
        }
        Assert.Equal([0, 1, 3, 7, 15, 25], logins);
        // After a rest the next one is at once.
        _clock.Advance(TimeSpan.FromSeconds(20));
        Assert.True(await login.RenewAsync(login.For(Target)!));
    }

    [Fact]
    public async Task Refused_ticket_stays_where_the_credentials_are_refused_too()
    {
        var login = await StartAsync(new OrleansLogin { User = "alice", Password = "secret" });
        _script.Failure = new BrokerException(ErrorCode.SaslAuthenticationFailed, "no longer");
        for (var call = 0; call < 20; call++)
            Assert.False(await login.RenewAsync(login.For(Target)!));
        Assert.Equal(2, _script.Logins.Count);
        Assert.Contains("no longer", Assert.Single(_log.At(LogLevel.Warning)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Client_with_a_session_makes_a_ticket_for_each_target_by_the_time_of_brokers()
    {
        var keys = TicketDocument.Empty.WithNewKey();
        // The client's own clock is days behind.
        var at = _clock.GetUtcNow() + TimeSpan.FromDays(3);
        _script.Answer = number =>
        {
            var (session, secret) = TicketFormat.WriteSession(new Ticket(TicketKind.Client, $"User:alice-{number}", at + Life),
                keys.Keys[0]);
            return new LoginAnswer { Ticket = [1], Life = Life, Session = session, Secret = secret, At = at };
        };
        var login = await StartAsync(new OrleansLogin { User = "alice", Password = "secret" });
        var other = Target with { Grain = GrainId.Create("omq.topic", "mails") };
        var ticket = login.For(Target)!;
        Assert.Same(ticket, login.For(Target));
        Assert.Equal((TicketFault.None, "User:alice-1"), Read(ticket, Target, TimeSpan.Zero));
        Assert.Equal((TicketFault.None, "User:alice-1"), Read(login.For(other)!, other, TimeSpan.Zero));
        foreach (var wrong in new[] { other, Target with { Interface = typeof(ITopicOwnerGrain) } })
            Assert.Equal(TicketFault.Forged, Read(ticket, wrong, TimeSpan.Zero).Fault);
        Assert.Equal(TicketFault.Expired, Read(ticket, Target, BrokerTickets.BoundLife).Fault);
        _clock.Advance(BrokerTickets.BoundLife / 2);
        Assert.NotSame(ticket, login.For(Target));
        Assert.Equal((TicketFault.None, "User:alice-1"), Read(login.For(Target)!, Target, BrokerTickets.BoundLife));
        Assert.Equal(TicketFault.Expired, Read(login.For(Target)!, Target, BrokerTickets.BoundLife * 3 / 2).Fault);
        // Whichever of its tickets is refused, the login is renewed; for one of before it is not.
        Assert.True(await login.RenewAsync(login.For(other)!));
        Assert.True(await login.RenewAsync(ticket));
        Assert.Equal(2, _script.Logins.Count);
        Assert.Equal((TicketFault.None, "User:alice-2"), Read(login.For(Target)!, Target, TimeSpan.Zero));

        (TicketFault Fault, string? Principal) Read(byte[] bytes, CallTarget called, TimeSpan after)
        {
            var fault = TicketFormat.Read(bytes, keys, at + after, called.Write(new byte[called.Length]), out var read);
            return (fault, read?.Principal);
        }
    }

    [Fact]
    public async Task Cluster_without_the_grain_is_named_as_the_cause()
    {
        _script.Failure = new ArgumentException("Could not find an implementation for interface.");
        var refused = await Assert.ThrowsAsync<BrokerException>(() =>
            StartAsync(new OrleansLogin { User = "alice", Password = "secret" }));
        Assert.Equal(ErrorCode.UnsupportedVersion, refused.Code);
    }

    [Fact]
    public async Task Login_waits_while_no_silo_is_a_broker()
    {
        (_script.Failure, _script.HasBroker) = (new ArgumentException("Could not find an implementation for interface."), false);
        var starting = StartAsync(new OrleansLogin { User = "alice", Password = "secret" });
        await NextTimerAsync();
        Assert.Contains("No silo of the cluster is a broker", Assert.Single(_log.At(LogLevel.Warning)), StringComparison.Ordinal);
        (_script.Failure, _script.HasBroker) = (null, true);
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.NotNull((await starting.WaitAsync(Wait.Deadline)).For(Target));
    }

    private async Task<ClientLogin> StartAsync(OrleansLogin login)
    {
        var started = _login = new ClientLogin(login, _services);
        var lifecycle = new ClientLifecycle();
        started.Participate(lifecycle);
        await lifecycle.Observer!.OnStart(CancellationToken.None);
        await NextTimerAsync();
        return started;
    }

    private Task NextTimerAsync() => Wait.UntilAsync(() => _clock.TimerCount > 0, "the next login is planned");

    private sealed class ClientLifecycle : IClusterClientLifecycle
    {
        public ILifecycleObserver? Observer { get; private set; }

        public IDisposable Subscribe(string observerName, int stage, ILifecycleObserver observer)
        {
            Observer = observer;
            return new MemoryStream();
        }
    }
}

/// <summary>A grain factory with a grain to log in at. Tickets are numbered.</summary>
public class LoginScript : DispatchProxy
{
    private readonly List<string> _logins = [];

    /// <summary>Mechanism and message of each login.</summary>
    internal IReadOnlyList<string> Logins
    {
        get
        {
            lock (_logins)
                return [.. _logins];
        }
    }

    /// <summary>What logins fail with; null: they do not.</summary>
    internal Exception? Failure { get; set; }

    /// <summary>What a login is answered.</summary>
    internal Func<int, LoginAnswer> Answer { get; set; } =
        static number => new LoginAnswer { Ticket = [(byte)number], Life = TimeSpan.FromMinutes(10) };

    /// <summary>Whether a silo has the grains of brokers.</summary>
    internal bool HasBroker { get; set; } = true;

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
        targetMethod!.ReturnType == typeof(IClusterGrain) && HasBroker ? null
        : targetMethod.ReturnType == typeof(ILoginGrain) && Failure is not ArgumentException ? new Grain(this)
        : throw Failure ?? new NotSupportedException();

    private sealed class Grain(LoginScript script) : ILoginGrain
    {
        public Task<LoginAnswer> LogInAsync(string mechanism, byte[] message, CancellationToken cancellationToken)
        {
            int number;
            lock (script._logins)
            {
                script._logins.Add($"{mechanism} {Encoding.UTF8.GetString(message)}");
                number = script._logins.Count;
            }
            return script.Failure is { } failure ? Task.FromException<LoginAnswer>(failure)
                : Task.FromResult(script.Answer(number));
        }
    }
}
