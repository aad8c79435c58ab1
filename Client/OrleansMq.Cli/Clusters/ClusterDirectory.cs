using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Clusters;

/// <summary>
/// The directory of a local cluster, locked while the cluster runs.
/// <code>
/// cluster.json     the roster
/// control          the socket on which a running cluster accepts requests
/// postgres/        the private server, unless a database is given
/// broker-N/        the data directory of broker N
/// broker-N.log     the log of broker N
/// </code>
/// </summary>
internal sealed class ClusterDirectory : IDisposable
{
    // A socket's path has at most 107 bytes; that of PostgreSQL, below postgres/run, is the longest.
    private const int MaxPathBytes = 75;

    private readonly FileStream _lock;

    private ClusterDirectory(string path, bool isTemporary, FileStream held) => (Path, IsTemporary, _lock) = (path, isTemporary, held);

    /// <summary>The full path.</summary>
    public string Path { get; }

    /// <summary>Whether it is deleted on dispose.</summary>
    public bool IsTemporary { get; }

    /// <summary>The directory of the private server.</summary>
    public string Postgres => System.IO.Path.Combine(Path, "postgres");

    /// <summary>Returns the path of the socket on which the running cluster of a directory accepts requests.</summary>
    public static string ControlSocket(string directory) => System.IO.Path.Combine(directory, "control");

    /// <summary>Returns the data directory of a broker.</summary>
    public string DataOf(int brokerId) => System.IO.Path.Combine(Path, $"broker-{brokerId}");

    /// <summary>Returns the log file of a broker.</summary>
    public string LogOf(int brokerId) => System.IO.Path.Combine(Path, $"broker-{brokerId}.log");

    /// <summary>Opens a directory, or creates it.</summary>
    /// <param name="path">Null for a temporary one.</param>
    /// <exception cref="CommandFailedException">Another cluster runs in it, its path is too long, it is not writable, or not the caller's
    /// alone.</exception>
    public static ClusterDirectory Open(string? path)
    {
        var full = path is null ? Directory.CreateTempSubdirectory("omq-cluster-").FullName : System.IO.Path.GetFullPath(path);
        if (Encoding.UTF8.GetByteCount(full) > MaxPathBytes)
        {
            throw CommandFailedException.Usage($"--data {full}: the path is longer than {MaxPathBytes} bytes, so the sockets below it "
                + "would exceed the system's limit. Choose a shorter one.");
        }
        try
        {
            Directory.CreateDirectory(full);
            DirectoryOwner.Demand(full);
            // PostgreSQL may run as another user, which must be able to enter its directory but sees nothing else.
            if (!OperatingSystem.IsWindows() && path is null)
                File.SetUnixFileMode(full, File.GetUnixFileMode(full) | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
            return new ClusterDirectory(full, path is null, Hold(full));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw CommandFailedException.Refused($"--data {full}: {e.Message}", e);
        }
    }

    /// <summary>Reads the roster; without a stored one, returns an empty one of a new cluster.</summary>
    /// <exception cref="CommandFailedException">The file is damaged.</exception>
    public ClusterRoster ReadRoster()
    {
        if (!File.Exists(RosterFile))
            return new ClusterRoster($"local-{RandomNumberGenerator.GetHexString(8, lowercase: true)}", []);
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllText(RosterFile), RosterJson.Default.ClusterRoster)
                ?? throw new JsonException("It holds null.");
        }
        catch (JsonException e)
        {
            throw CommandFailedException.Refused($"{RosterFile} is damaged: {e.Message} It lists the brokers of the cluster. Write it "
                + "anew, such as "
                + """{"clusterId":"local-0000","brokers":[{"brokerId":1,"rack":null}]}, with the cluster id that broker-1/meta.json """
                + "holds.", e);
        }
    }

    /// <summary>Stores the roster atomically.</summary>
    public void WriteRoster(ClusterRoster roster)
    {
        File.WriteAllText(RosterFile + ".new", JsonSerializer.Serialize(roster, RosterJson.Default.ClusterRoster));
        File.Move(RosterFile + ".new", RosterFile, overwrite: true);
    }

    /// <summary>Releases the directory, and deletes it if it is temporary.</summary>
    public void Dispose()
    {
        _lock.Dispose();
        if (IsTemporary)
            Directory.Delete(Path, recursive: true);
    }

    private string RosterFile => System.IO.Path.Combine(Path, "cluster.json");

    private static FileStream Hold(string path)
    {
        try
        {
            return new FileStream(System.IO.Path.Combine(path, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (e is not (FileNotFoundException or DirectoryNotFoundException or PathTooLongException))
        {
            throw CommandFailedException.Refused($"A cluster runs in {path} already. Add a silo to it with "
                + $"'omq cluster add --data {path}', or stop it first.", e);
        }
    }
}
