using System.Globalization;
using System.Net;

namespace OrleansMq.Tests.Chaos.Network;

/// <summary>Finds the process that owns a connection of this machine, from <c>/proc</c>.</summary>
internal static class SocketOwner
{
    // The kernel's list is read in pieces while it changes, so that an entry may be missed.
    private const int Reads = 10;

    /// <summary>Returns the owning process, or null if none of the candidates owns the connection.</summary>
    /// <param name="local">The process's end.</param>
    /// <param name="remote">The other end.</param>
    /// <param name="processes">The candidates.</param>
    public static int? Find(IPEndPoint local, IPEndPoint remote, IEnumerable<int> processes)
    {
        string? line = null;
        for (var read = 0; line is null && read < Reads; read++)
            line = LineOf("/proc/net/tcp", $" {Hex(local)} {Hex(remote)} ")
                ?? LineOf("/proc/net/tcp6", $" {MappedPrefix}{Hex(local)} {MappedPrefix}{Hex(remote)} ");
        if (line is null)
            return null;
        // sl local remote state queues timer retransmits uid timeout inode
        var socket = $"socket:[{line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[9]}]";
        return processes.Cast<int?>().FirstOrDefault(process => Has(process!.Value, socket));
    }

    // A dual-stack socket shows its IPv4 addresses as ::ffff:a.b.c.d, in words of the machine's byte order.
    private const string MappedPrefix = "0000000000000000FFFF0000";

    private static string? LineOf(string table, string ends) =>
        File.ReadLines(table).FirstOrDefault(entry => entry.Contains(ends, StringComparison.Ordinal));

    private static bool Has(int process, string socket)
    {
        try
        {
            return new DirectoryInfo($"/proc/{process}/fd").EnumerateFiles().Any(file => file.LinkTarget == socket);
        }
        catch (Exception ended) when (ended is IOException or UnauthorizedAccessException)
        {
            // The process ended. Until its parent takes note, its files are the superuser's.
            return false;
        }
    }

    private static string Hex(IPEndPoint end) =>
        string.Create(CultureInfo.InvariantCulture,
            $"{Convert.ToHexString([.. end.Address.MapToIPv4().GetAddressBytes().Reverse()])}:{end.Port:X4}");
}
