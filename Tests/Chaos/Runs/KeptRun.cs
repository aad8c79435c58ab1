using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.Chaos.Runs;

/// <summary>A run that leaves its files behind where it fails.</summary>
internal static class KeptRun
{
    /// <summary>Runs. A failure keeps the directory, and says where it is and how to repeat the run.</summary>
    /// <param name="directory">The directory of log and data.</param>
    /// <param name="log">The log.</param>
    /// <param name="seed">The seed of the run.</param>
    /// <param name="run">The run.</param>
    public static async Task KeptOnFailureAsync(this TemporaryDirectory directory, RunLog log, int seed, Func<Task> run)
    {
        try
        {
            await run();
        }
        catch (Exception e)
        {
            directory.IsKept = true;
            log.Tell($"given up: {e}");
            throw new InvalidOperationException($"{e.Message}\nLog and data are kept in {directory.FullName}. {Seeds.Replay(seed)}", e);
        }
    }
}
