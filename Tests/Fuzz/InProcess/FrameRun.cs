using System.Diagnostics;
using System.Globalization;
using OrleansMq.Tests.Fuzz.InProcess.Amqp;

namespace OrleansMq.Tests.Fuzz.InProcess;

/// <summary>Blocks of frames on all processors, without sockets: for large numbers of frames.</summary>
/// <param name="options">The first seed, and how much.</param>
/// <param name="write">Where lines about failures go.</param>
internal sealed class FrameRun(FuzzOptions options, Action<string> write)
{
    private const int MostFailures = 10;

    private long _next = options.Seed;
    private long _frames, _decoded, _answered;
    private int _failures;

    /// <summary>The frames so far.</summary>
    public string Progress => string.Create(CultureInfo.InvariantCulture,
        $"{Volatile.Read(ref _frames):N0} frames, {Volatile.Read(ref _decoded):N0} valid, {Volatile.Read(ref _answered):N0} answered");

    /// <summary>How many valid requests there were.</summary>
    public long Decoded => _decoded;

    /// <summary>How many answers there were.</summary>
    public long Answered => _answered;

    /// <summary>Runs to the end. Returns the number of seeds that failed.</summary>
    public async Task<int> RunAsync(CancellationToken cancellationToken)
    {
        var began = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, Environment.ProcessorCount).Select(_ => Task.Run(RunBlocksAsync, CancellationToken.None)));
        write(string.Create(CultureInfo.InvariantCulture,
            $"figures: {Progress}, {_failures} seeds failed, {Stopwatch.GetElapsedTime(began).TotalSeconds:F0} s"));
        return _failures;

        async Task RunBlocksAsync()
        {
            while (!cancellationToken.IsCancellationRequested && Volatile.Read(ref _failures) < MostFailures
                && (options.Seconds == 0 || Stopwatch.GetElapsedTime(began).TotalSeconds < options.Seconds))
            {
                var seed = Interlocked.Increment(ref _next) - 1;
                if (options.Frames > 0 && (seed - options.Seed) * IFrameBlock.Frames >= options.Frames)
                    return;
                IFrameBlock block = options.IsAmqp ? new AmqpBlock(seed) : new FrameBlock(seed);
                try
                {
                    await block.RunAsync();
                }
                catch (Exception fault)
                {
                    Interlocked.Increment(ref _failures);
                    write($"Seed {seed} failed; replay with: {FuzzOptions.Command} --in-process{(options.IsAmqp ? " --amqp" : "")} "
                        + $"--seed {seed} --frames 1\n{fault}");
                }
                Interlocked.Add(ref _frames, IFrameBlock.Frames);
                Interlocked.Add(ref _decoded, block.Decoded);
                Interlocked.Add(ref _answered, block.Answered);
            }
        }
    }
}
