using System.Diagnostics;
using System.Text;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Hosting;
using OrleansMq.Storage;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Fuzz.InProcess.Amqp;

/// <summary>A standalone broker in memory with the virtual host <c>/</c> and its queues, and no port.</summary>
internal sealed class MemoryBroker : IAsyncDisposable
{
    /// <summary>The only virtual host.</summary>
    public const string Host = "/";

    /// <summary>The only user, and its password.</summary>
    public const string User = UserState.Guest;

    /// <summary>A password that is answered by a challenge.</summary>
    public const string Challenged = "challenge";

    private const int MaxConsumers = 10_000;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly LocalBroker _broker;
    private readonly VirtualHostOwners _hosts;
    private readonly DirectReplies _replies;
    private readonly QueueRegistry _registry;
    private readonly ErrorLog _log;

    private MemoryBroker(LocalBroker broker, VirtualHostOwners hosts, ErrorLog log)
    {
        (_broker, _hosts, _log) = (broker, hosts, log);
        var hosted = new HostedBroker(0, broker.ClusterId, broker.Access, broker.Access.Broker, broker.Metadata, broker)
        {
            Security = broker.Security,
            OpenVirtualHosts = () => new(hosts),
        };
        _registry = new QueueRegistry(hosted, hosts, TimeProvider.System, log, Memory);
        _replies = new DirectReplies(hosted);
        Access = new OpenAccess(hosts, new AmqpAccess(_registry, _replies, MaxConsumers, MaxConsumers));
    }

    /// <summary>Logs in, and opens the virtual host.</summary>
    public IAmqpAccess Access { get; }

    /// <summary>The memory of messages.</summary>
    public MemoryBudget Memory { get; } = new(MemoryBudget.LeastLimit);

    /// <summary>The log.</summary>
    public EngineLog Log => _log;

    /// <summary>Opens a broker without queues.</summary>
    public static async Task<MemoryBroker> StartAsync()
    {
        LoadTexts();
        var log = new ErrorLog();
        var broker = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            MinFreeBytes = 0,
        });
        return new MemoryBroker(broker, await broker.OpenVirtualHostsAsync(), log);
    }

    /// <summary>Deletes what connections have left, after the last of them, and checks that nothing holds memory.</summary>
    /// <exception cref="FuzzFailedException">Something stays, or an error was logged.</exception>
    public async Task CheckEmptyAsync()
    {
        await UntilAsync(() => !Topology.Connections.Any(),
            () => $"Connections that have ended have consumers or exclusive queues: {string.Join(", ", Topology.Connections)}.");
        foreach (var queue in Topology.Queues.ToArray())
        {
            await _hosts.SendAsync(Host, new DeleteQueue(queue.Name, Connection: null, queue.Id));
            await _registry.EndAsync(Host, queue);
        }
        await UntilAsync(() => (Memory.Used, Memory.Unfinished, _registry.Unread.Used, _registry.Kept.Used, _registry.Copies.Waiting)
            == (0, 0, 0, 0, 0), () => $"Without queues and connections {Memory.Used} bytes of messages are in memory, {Memory.Unfinished} "
                + $"unfinished, {_registry.Unread.Used} unread, {_registry.Kept.Used} kept, and {_registry.Copies.Waiting} batches wait.");
        if (_log.First is { } error)
            throw new FuzzFailedException($"The log has {_log.Count} errors, the first: {error}");
    }

    public async ValueTask DisposeAsync()
    {
        _replies.Dispose();
        await _registry.DisposeAsync();
        await _broker.DisposeAsync();
    }

    // The runtime loads its own texts at a first fault, which no frame is to be charged for.
    private static void LoadTexts()
    {
        try
        {
            NamePool.StrictUtf8.GetString([0xFF]);
        }
        catch (DecoderFallbackException)
        {
            // As expected.
        }
    }

    private VirtualHostTopology Topology => _hosts.Find(Host)!.Topology;

    private static async Task UntilAsync(Func<bool> condition, Func<string> problem)
    {
        var began = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(began) > Patience)
                throw new FuzzFailedException(problem());
            await Task.Delay(1);
        }
    }

    /// <summary>Checks passwords without the pauses that follow wrong ones.</summary>
    private sealed class OpenAccess(VirtualHostOwners hosts, AmqpAccess access) : IAmqpAccess
    {
        public ValueTask<LoginResult> LoginAsync(AmqpLogin login, AmqpClient client)
        {
            if (login.Password == Challenged)
                return new(new LoginResult(LoginOutcome.Challenged, Challenge: LongString.Of("again")));
            if (login is not { User: User, Password: User } || hosts.Users.FindUser(User) is not { } user)
                return new(new LoginResult(LoginOutcome.Refused, "it is not the user"));
            client.UserId = user.Id;
            return new(new LoginResult(LoginOutcome.Accepted));
        }

        public ValueTask<IAmqpSession> OpenAsync(string virtualHost, AmqpClient client) => access.OpenAsync(virtualHost, client);
    }

    /// <summary>Keeps the first error.</summary>
    private sealed class ErrorLog : EngineLog
    {
        private int _count;
        private string? _first;

        public int Count => Volatile.Read(ref _count);

        public string? First => Volatile.Read(ref _first);

        public override void Write(EngineLogLevel level, string message, Exception? exception = null)
        {
            if (level < EngineLogLevel.Error)
                return;
            Interlocked.CompareExchange(ref _first, $"{message} {exception}", null);
            Interlocked.Increment(ref _count);
        }
    }
}
