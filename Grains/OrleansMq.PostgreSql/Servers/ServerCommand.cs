using System.Diagnostics;

namespace OrleansMq.PostgreSql.Servers;

/// <summary>Runs one of the server's programs to completion.</summary>
internal static class ServerCommand
{
    /// <exception cref="InvalidOperationException">The program failed; the message has its output.</exception>
    public static async Task RunAsync(ProcessStartInfo start, CancellationToken cancellationToken)
    {
        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        var (output, error) = (process.StandardOutput.ReadToEndAsync(cancellationToken),
            process.StandardError.ReadToEndAsync(cancellationToken));
        var said = await Task.WhenAll(output, error).ConfigureAwait(false);
        await process.WaitForExitAsync(cancellationToken).ConfigureAwait(false);
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException(
                $"{start.FileName} {string.Join(' ', start.ArgumentList)} failed: {string.Concat(said).Trim()}");
        }
    }
}
