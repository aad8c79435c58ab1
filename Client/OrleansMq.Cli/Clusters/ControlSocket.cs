using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Clusters;

/// <summary>A request to a running local cluster to add a silo.</summary>
/// <param name="Rack">Its rack, or null.</param>
internal sealed record AddOrder(string? Rack);

/// <summary>The response to a request. One of the two is set.</summary>
/// <param name="Broker">The silo that was added.</param>
/// <param name="Error">Why none was added.</param>
internal sealed record AddAnswer(BrokerLine? Broker, string? Error);

/// <summary>The JSON of requests and responses, one line each.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(AddOrder))]
[JsonSerializable(typeof(AddAnswer))]
internal sealed partial class ControlJson : JsonSerializerContext;

/// <summary>The socket in a local cluster's directory on which it accepts requests. File permissions protect it.</summary>
internal sealed class ControlSocket : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly string _path;

    private ControlSocket(string path) => _path = path;

    /// <summary>Listens in the directory of a cluster. The directory is locked, so a socket left there is stale.</summary>
    public static ControlSocket Listen(string directory)
    {
        var control = new ControlSocket(ClusterDirectory.ControlSocket(directory));
        File.Delete(control._path);
        control._listener.Bind(new UnixDomainSocketEndPoint(control._path));
        control._listener.Listen();
        return control;
    }

    /// <summary>Serves requests, one at a time, until stopped.</summary>
    public async Task RunAsync(Func<AddOrder, Task<BrokerLine>> add, CancellationToken stop)
    {
        try
        {
            while (true)
            {
                using var connection = await _listener.AcceptAsync(stop).ConfigureAwait(false);
                await ServeAsync(connection, add, stop).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The cluster is stopping.
        }
    }

    /// <summary>Asks the cluster that runs in a directory to add a silo.</summary>
    /// <exception cref="CommandFailedException">No cluster runs there, or it refused.</exception>
    public static async Task<BrokerLine> AskAsync(string directory, AddOrder order, CancellationToken cancellationToken)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(ClusterDirectory.ControlSocket(Path.GetFullPath(directory))),
                cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            throw new CommandFailedException(ExitCode.Unreachable,
                $"No local cluster runs in {Path.GetFullPath(directory)}. 'omq cluster up' prints its directory; --data there and here "
                + "must be the same.", e);
        }
        await using var stream = new NetworkStream(socket);
        using var reader = new StreamReader(stream);
        await using var writer = new StreamWriter(stream) { AutoFlush = true };
        string? line;
        try
        {
            await writer.WriteLineAsync(JsonSerializer.Serialize(order, ControlJson.Default.AddOrder).AsMemory(),
                cancellationToken).ConfigureAwait(false);
            line = await reader.ReadLineAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (IOException)
        {
            line = null; // It ended before it read the request.
        }
        return line is null || JsonSerializer.Deserialize(line, ControlJson.Default.AddAnswer) is not { } answer
            ? throw CommandFailedException.Refused("The cluster stopped before it had added a silo.")
            : answer.Broker ?? throw CommandFailedException.Refused(answer.Error ?? "The cluster gave no reason.");
    }

    /// <summary>Stops listening.</summary>
    public void Dispose()
    {
        _listener.Dispose();
        File.Delete(_path);
    }

    private static async Task ServeAsync(Socket connection, Func<AddOrder, Task<BrokerLine>> add, CancellationToken stop)
    {
        await using var stream = new NetworkStream(connection);
        using var reader = new StreamReader(stream);
        await using var writer = new StreamWriter(stream) { AutoFlush = true };
        try
        {
            var line = await reader.ReadLineAsync(stop).ConfigureAwait(false);
            if (line is not null)
                await writer.WriteLineAsync(JsonSerializer.Serialize(await AnswerAsync(line, add).ConfigureAwait(false),
                    ControlJson.Default.AddAnswer)).ConfigureAwait(false);
        }
        catch (IOException)
        {
            // The caller has disconnected; the silo runs nevertheless.
        }
    }

    private static async Task<AddAnswer> AnswerAsync(string line, Func<AddOrder, Task<BrokerLine>> add)
    {
        try
        {
            return new AddAnswer(await add(JsonSerializer.Deserialize(line, ControlJson.Default.AddOrder)!).ConfigureAwait(false), null);
        }
        catch (Exception e) when (e is CommandFailedException or JsonException)
        {
            return new AddAnswer(null, e.Message);
        }
        catch (OperationCanceledException)
        {
            return new AddAnswer(null, "The cluster is stopping.");
        }
    }
}
