using System.Diagnostics;
using System.Runtime.InteropServices;

namespace OrleansMq.Tests.Benchmarks.Peers.Brokers;

/// <summary>The output of a program.</summary>
internal readonly record struct ProgramOutput(string Text, string Errors);

/// <summary>A running program. Dispose ends it, with SIGTERM first.</summary>
internal sealed class ChildProcess : IAsyncDisposable
{
    private const int SigTerm = 15;
    private static readonly TimeSpan TimeToEnd = TimeSpan.FromSeconds(20);

    private readonly Process _process;
    private readonly Task<string> _errors;

    private ChildProcess(Process process)
    {
        _process = process;
        _errors = process.StandardError.ReadToEndAsync();
    }

    public int Id => _process.Id;

    public static ChildProcess Start(IReadOnlyList<string> words, IReadOnlyDictionary<string, string>? environment = null,
        string? directory = null)
    {
        var start = new ProcessStartInfo(words[0], words.Skip(1))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = directory ?? "",
        };
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        try
        {
            return new ChildProcess(Process.Start(start)!);
        }
        catch (System.ComponentModel.Win32Exception missing)
        {
            throw new PeerFailedException($"{words[0]}: {missing.Message}.");
        }
    }

    /// <summary>Runs a program to completion.</summary>
    /// <exception cref="PeerFailedException">The exit code is not 0.</exception>
    public static async Task<ProgramOutput> RunAsync(IReadOnlyList<string> words, CancellationToken cancellationToken,
        IReadOnlyDictionary<string, string>? environment = null, string? directory = null)
    {
        await using var program = Start(words, environment, directory);
        program._process.StandardInput.Close();
        string text;
        try
        {
            text = await program._process.StandardOutput.ReadToEndAsync(cancellationToken);
            await program._process.WaitForExitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // Including its children: a script ends at once, but its programs would continue.
            program._process.Kill(entireProcessTree: true);
            throw;
        }
        var errors = await program._errors;
        return program._process.ExitCode == 0
            ? new ProgramOutput(text, errors)
            : throw new PeerFailedException($"{string.Join(' ', words)} exited with {program._process.ExitCode}: {Tail(errors + text)}");
    }

    /// <summary>Waits for a line of its output.</summary>
    /// <exception cref="PeerFailedException">The program ended first.</exception>
    public async Task<string> LineAsync(Func<string, bool> wanted, CancellationToken cancellationToken)
    {
        while (await _process.StandardOutput.ReadLineAsync(cancellationToken) is { } line)
        {
            if (wanted(line))
                return line;
        }
        throw new PeerFailedException($"{_process.StartInfo.FileName} exited before it was ready: {Tail(await _errors)}");
    }

    /// <summary>Writes a line to its input.</summary>
    public async Task WriteLineAsync(string line, CancellationToken cancellationToken)
    {
        await _process.StandardInput.WriteLineAsync(line.AsMemory(), cancellationToken);
        await _process.StandardInput.FlushAsync(cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _ = Kill(_process.Id, SigTerm);
            using var deadline = new CancellationTokenSource(TimeToEnd);
            try
            {
                // A program that writes to an unread pipe would block.
                await Task.WhenAll(_process.StandardOutput.BaseStream.CopyToAsync(Stream.Null, deadline.Token),
                    _process.WaitForExitAsync(deadline.Token));
            }
            catch (OperationCanceledException)
            {
                _process.Kill(entireProcessTree: true);
            }
        }
        _process.Dispose();
    }

    private static string Tail(string text) => text.Length <= 2000 ? text.Trim() : "..." + text[^2000..].Trim();

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int process, int signal);
}
