using System.Diagnostics;
using OrleansMq.Tests.Benchmarks.Peers.Results;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>RabbitMQ nodes on this machine that form a cluster. Each has the settings that <c>peer start rabbitmq</c> gives its one
/// node.</summary>
internal sealed class RabbitMqCluster : RunningBroker
{
    // How long a node may take to serve.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly Setup _setup;
    private readonly IReadOnlyList<ChildProcess> _nodes;

    private RabbitMqCluster(Setup setup, IReadOnlyList<ChildProcess> nodes) => (_setup, _nodes) = (setup, nodes);

    /// <summary>Starts the nodes and waits until all of them serve as one cluster.</summary>
    /// <exception cref="PeerFailedException">The start failed; no process is left.</exception>
    public static async Task<RunningBroker> StartAsync(int nodes, string directory, CancellationToken cancellationToken)
    {
        var setup = Setup.Write(nodes, directory);
        var started = new List<ChildProcess>();
        var start = Stopwatch.GetTimestamp();
        try
        {
            // The others find the first node and join it. Nodes that start at the same time may form clusters of their own.
            started.Add(setup.Start(0));
            await ReadyAsync(started[0], cancellationToken);
            for (var node = 1; node < nodes; node++)
                started.Add(setup.Start(node));
            await Task.WhenAll(started.Skip(1).Select(node => ReadyAsync(node, cancellationToken)));
            var startTime = Stopwatch.GetElapsedTime(start);
            await setup.ControlAsync(["await_online_nodes", Words.Of(nodes), "--timeout", Words.Of((long)Patience.TotalSeconds)],
                cancellationToken);
            return new RabbitMqCluster(setup, started)
            {
                Endpoint = setup.Nodes[0].Endpoint,
                Processes = ProcessFigures.WithDescendants([.. started.Select(node => node.Id)]),
                StartTime = startTime,
                Directory = directory,
            };
        }
        catch
        {
            await EndAsync(setup, started, ProcessFigures.WithDescendants([.. started.Select(node => node.Id)]));
            throw;
        }
    }

    public override async Task<QueuePlace> FindQueueAsync(string queue, CancellationToken cancellationToken)
    {
        var output = await _setup.ControlAsync(["list_queues", "name", "leader", "online", "--formatter", "json"], cancellationToken);
        var (leader, replicas) = RabbitMqQueueList.Find(output.Text, queue);
        return new QueuePlace(_setup.Nodes.FirstOrDefault(node => node.Name == leader)?.Endpoint, replicas);
    }

    public override async ValueTask DisposeAsync() => await EndAsync(_setup, _nodes, Processes);

    private static Task EndAsync(Setup setup, IReadOnlyList<ChildProcess> nodes, IReadOnlyList<int> processes) =>
        setup.Daemon.EndAsync(processes,
            async () => await Task.WhenAll(nodes.Select(static node => node.DisposeAsync().AsTask())));

    private static async Task ReadyAsync(ChildProcess node, CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(Patience);
        try
        {
            await node.LineAsync(static line => line.Contains("completed with", StringComparison.Ordinal), deadline.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new PeerFailedException($"A node of RabbitMQ does not serve after {Patience.TotalSeconds} s.");
        }
    }

    /// <summary>A node.</summary>
    /// <param name="Name">Its name among Erlang nodes.</param>
    /// <param name="Port">The port of its AMQP listener; its port for other nodes is <see cref="RabbitMqBroker.DistributionPort"/>
    /// above it.</param>
    private sealed record Node(string Name, int Port)
    {
        public string Endpoint => $"127.0.0.1:{Words.Of(Port)}";
    }

    /// <summary>What the nodes of a cluster have in common: a directory with their configuration and their cookie, and the daemon by which
    /// they find each other.</summary>
    private sealed record Setup(string Directory, IReadOnlyList<Node> Nodes, ErlangDaemon Daemon)
    {
        private string Configuration => Path.Combine(Directory, "rabbitmq.conf");

        private string Plugins => Path.Combine(Directory, "plugins");

        public static Setup Write(int nodes, string directory)
        {
            var ports = Enumerable.Range(0, nodes).Select(_ => FreePort.Choose(RabbitMqBroker.DistributionPort));
            var setup = new Setup(directory, [.. ports.Select(port => new Node($"peer{Words.Of(port)}@localhost", port))],
                new ErlangDaemon());
            File.WriteAllText(setup.Plugins, "[].");
            File.WriteAllLines(setup.Configuration, ["cluster_formation.peer_discovery_backend = classic_config",
                .. setup.Nodes.Select((node, i) => $"cluster_formation.classic_config.nodes.{Words.Of(i + 1)} = {node.Name}")]);
            // Erlang refuses a cookie that others than its owner may read.
            var cookie = Path.Combine(directory, ".erlang.cookie");
            File.WriteAllText(cookie, Guid.NewGuid().ToString("N"));
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(cookie, UnixFileMode.UserRead);
            return setup;
        }

        public ChildProcess Start(int index)
        {
            var node = Nodes[index];
            var own = System.IO.Directory.CreateDirectory(Path.Combine(Directory, $"node-{Words.Of(index + 1)}")).FullName;
            return ChildProcess.Start([$"{RabbitMqBroker.Programs}/rabbitmq-server"], new Dictionary<string, string>(Environment())
            {
                ["RABBITMQ_NODENAME"] = node.Name,
                ["RABBITMQ_NODE_PORT"] = Words.Of(node.Port),
                ["RABBITMQ_DIST_PORT"] = Words.Of(node.Port + RabbitMqBroker.DistributionPort),
                ["RABBITMQ_MNESIA_BASE"] = Path.Combine(own, "mnesia"),
                ["RABBITMQ_LOG_BASE"] = Path.Combine(own, "logs"),
                ["RABBITMQ_PID_FILE"] = Path.Combine(own, "rabbit.pid"),
                ["RABBITMQ_ENABLED_PLUGINS_FILE"] = Plugins,
                ["RABBITMQ_CONFIG_FILE"] = Configuration,
            });
        }

        /// <summary>Runs <c>rabbitmqctl</c> on the first node.</summary>
        public Task<ProgramOutput> ControlAsync(IEnumerable<string> words, CancellationToken cancellationToken) =>
            ChildProcess.RunAsync([$"{RabbitMqBroker.Programs}/rabbitmqctl", "--quiet", "--node", Nodes[0].Name, .. words],
                cancellationToken, Environment());

        // The cookie is in the home directory.
        private Dictionary<string, string> Environment() => new(Daemon.Environment) { ["HOME"] = Directory };
    }
}
