using System.Globalization;

namespace OrleansMq.Tests.Fuzz.Wire;

/// <summary>What a process takes of the machine.</summary>
/// <param name="Megabytes">Its resident memory.</param>
/// <param name="Threads">Its threads.</param>
/// <param name="Handles">Its open files and sockets.</param>
internal readonly record struct ProcessState(long Megabytes, int Threads, int Handles)
{
    /// <summary>Reads it from <c>/proc</c>.</summary>
    public static ProcessState Of(int process)
    {
        var status = File.ReadAllLines($"/proc/{process}/status");
        return new ProcessState(Number("VmRSS:") / 1024, (int)Number("Threads:"), Directory.GetFiles($"/proc/{process}/fd").Length);

        long Number(string name) => long.Parse(status.Single(line => line.StartsWith(name, StringComparison.Ordinal))
            .Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }

    /// <inheritdoc/>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Megabytes} MB, {Threads} threads, {Handles} handles");
}
