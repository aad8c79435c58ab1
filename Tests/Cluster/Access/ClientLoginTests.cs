using System.Reflection;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using OrleansMq.Client;
using OrleansMq.Grains.Access;
using OrleansMq.Tests.Client;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>When a client logs in again, and what its calls carry meanwhile.</summary>
public sealed class ClientLoginTests : IDisposable
{
    private static readonly TimeSpan Life = TimeSpan.FromMinutes(10);
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
        Assert.Equal([1], login.Current);
        _clock.Advance((Life * 2 / 3) - TimeSpan.FromSeconds(1));
        Assert.Single(_script.Logins);
        _clock.Advance(TimeSpan.FromSeconds(1));
        await Wait.UntilAsync(() => login.Current is [2], "the login is renewed");
        // Of the second, whose life counts anew.
        await NextTimerAsync();
        _clock.Advance(Life * 2 / 3);
        await Wait.UntilAsync(() => login.Current is [3], "the login is renewed again");
    }

    [Fact]
    public async Task Ticket_that_cannot_be_renewed_is_used_to_its_end_and_then_fails_calls_with_the_reason()
    {
        var login = await StartAsync(new OrleansLogin { User = "alice", Password = "secret" });
        _script.Failure = new BrokerException(ErrorCode.SaslAuthenticationFailed, "no longer");
        _clock.Advance(Life * 2 / 3);
        await Wait.UntilAsync(() => _script.Logins.Count == 2, "the login is tried");
        await NextTimerAsync();
        Assert.Equal([1], login.Current);
        Assert.Contains("no longer", Assert.Single(_log.At(LogLevel.Warning)), StringComparison.Ordinal);
        _clock.Advance(Life / 3);
        var expired = Assert.Throws<BrokerException>(() => login.Current);
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
                return login.Current is [> 1];
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
        Assert.Equal([2], (await starting.WaitAsync(Wait.Deadline)).Current);
    }

    [Fact]
    public async Task Each_login_takes_a_token_that_is_good_then()
    {
        var count = 0;
        var login = await StartAsync(new OrleansLogin { Token = _ => new($"token-{++count}") });
        _clock.Advance(Life * 2 / 3);
        await Wait.UntilAsync(() => login.Current is [2], "the login is renewed");
        Assert.Equal(["OAUTHBEARER n,,\u0001auth=Bearer token-1\u0001\u0001", "OAUTHBEARER n,,\u0001auth=Bearer token-2\u0001\u0001"],
            _script.Logins);
    }

    [Fact]
    public async Task Refused_ticket_is_replaced_at_once_by_one_login_for_all_calls()
    {
        var login = await StartAsync(new OrleansLogin { User = "alice", Password = "secret" });
        var first = login.Current!;
        var renewed = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => login.RenewAsync(first).AsTask()));
        Assert.All(renewed, static ticket => Assert.Equal([2], ticket));
        Assert.Equal(2, _script.Logins.Count);
        Assert.Equal([2], login.Current);
        // A call that was on its way with the first.
        Assert.Equal([2], await login.RenewAsync(first));
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
                await login.RenewAsync(login.Current!);
            if (_script.Logins.Count > logins.Count + 1)
                logins.Add(second);
            _clock.Advance(TimeSpan.FromSeconds(1));
        }
        Assert.Equal([0, 1, 3, 7, 15, 25], logins);
        // After a rest the next one is at once.
        _clock.Advance(TimeSpan.FromSeconds(20));
        Assert.NotNull(await login.RenewAsync(login.Current!));
    }

    [Fact]
    public async Task Refused_ticket_stays_where_the_credentials_are_refused_too()
    {
        var login = await StartAsync(new OrleansLogin { User = "alice", Password = "secret" });
        _script.Failure = new BrokerException(ErrorCode.SaslAuthenticationFailed, "no longer");
        for (var call = 0; call < 20; call++)
            Assert.Null(await login.RenewAsync(login.Current!));
        Assert.Equal(2, _script.Logins.Count);
        Assert.Contains("no longer", Assert.Single(_log.At(LogLevel.Warning)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cluster_without_the_grain_is_named_as_the_cause()
    {
        _script.Failure = new ArgumentException("Could not find an implementation for interface.");
        var refused = await Assert.ThrowsAsync<BrokerException>(() =>
            StartAsync(new OrleansLogin { User = "alice", Password = "secret" }));
        Assert.Equal(ErrorCode.UnsupportedVersion, refused.Code);
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

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
        targetMethod!.ReturnType == typeof(ILoginGrain) && Failure is not ArgumentException ? new Grain(this)
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
                : Task.FromResult(new LoginAnswer { Ticket = [(byte)number], Life = TimeSpan.FromMinutes(10) });
        }
    }
}
