using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Shared;
using OrleansMq.Timers;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>Durable timers of grains, on one silo in this process: the memory of those that wait, and how late those are handled that are
/// due within some seconds.</summary>
internal static class TimerThroughput
{
    private const double Megabyte = 1 << 20;

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var waiting = arguments.Number("--waiting", 1_000_000);
        var due = arguments.Number("--due", 20_000);
        var over = arguments.Number("--over", 1);
        var grains = arguments.Number("--grains", 2_000);
        var inFlight = arguments.Number("--in-flight", 1_000);
        var rounds = arguments.Number("--rounds", 3);
        var directory = arguments.Directory("timers");
        try
        {
            using var host = Silo(directory);
            await host.StartAsync();
            try
            {
                await MeasureWaitingAsync(host.Services, waiting, grains, inFlight);
                for (var round = 0; round < rounds; round++)
                    await MeasureDueAsync(host.Services, due, over, grains, inFlight);
            }
            finally
            {
                await host.StopAsync();
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
        return 0;
    }

    private static IHost Silo(string directory)
    {
        var (silo, gateway) = (FreePort.Choose(), FreePort.Choose());
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        builder.UseOrleans(host => host.UseLocalhostClustering(silo, gateway)
            .AddOrleansMq(options => options with { DataDirectory = Path.Combine(directory, "data") }).AddOrleansMqTimers());
        return builder.Build();
    }

    // All of them are in the memory of the schedules: those that are far away take none.
    private static async Task MeasureWaitingAsync(IServiceProvider services, int waiting, int grains, int inFlight)
    {
        // Compiles, and makes the topics.
        await ScheduleAsync(services, 10_000, grains, inFlight, static number => DateTimeOffset.UtcNow.AddHours(3).AddSeconds(number));
        var before = Resident();
        var watch = Stopwatch.StartNew();
        await ScheduleAsync(services, waiting, grains, inFlight, static number =>
            DateTimeOffset.UtcNow.AddHours(1).AddMilliseconds(number));
        var rate = waiting / watch.Elapsed.TotalSeconds;
        var after = Resident();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"waiting: {waiting:N0} timers for {grains:N0} grains, scheduled at "
            + $"{rate:N0}/s, {inFlight:N0} in flight; the silo has {before.Resident / Megabyte:N0} MB resident before, "
            + $"{after.Resident / Megabyte:N0} MB after; managed {before.Managed / Megabyte:N0} MB, {after.Managed / Megabyte:N0} MB"));
    }

    private static (long Resident, long Managed) Resident()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        GC.WaitForPendingFinalizers();
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        return (Environment.WorkingSet, GC.GetTotalMemory(forceFullCollection: false));
    }

    private static async Task MeasureDueAsync(IServiceProvider services, int due, int over, int grains, int inFlight)
    {
        // Late enough that all of them are scheduled before.
        var at = DateTimeOffset.UtcNow.AddSeconds(10 + due / 2_000);
        BenchmarkTimers.Begin(due);
        await ScheduleAsync(services, due, grains, inFlight, number => at.AddMilliseconds(number % (1_000 * over)));
        if (DateTimeOffset.UtcNow > at)
            throw new InvalidOperationException("They were not scheduled before they were due. Give fewer: --due.");
        await Task.Delay(at - DateTimeOffset.UtcNow);
        var cpu = Environment.CpuUsage.TotalTime;
        var late = await BenchmarkTimers.HandledAsync();
        var all = DateTimeOffset.UtcNow - at;
        var cost = (Environment.CpuUsage.TotalTime - cpu).TotalMicroseconds / due;
        Array.Sort(late);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"due: {due:N0} within {over} s for {grains:N0} grains, the last is "
            + $"handled {all.TotalSeconds:N2} s after the first is due, {due / all.TotalSeconds:N0}/s; late by p50 {late[due / 2]:N0} ms, "
            + $"p99 {late[due - 1 - due / 100]:N0} ms; {cost:N0} us of CPU each"));
    }

    private static Task ScheduleAsync(IServiceProvider services, int count, int grains, int inFlight, Func<int, DateTimeOffset> at)
    {
        var timers = services.GetRequiredService<IDurableTimers>();
        var factory = services.GetRequiredService<IGrainFactory>();
        return Parallel.ForEachAsync(Enumerable.Range(0, count), new ParallelOptions { MaxDegreeOfParallelism = inFlight },
            async (number, ended) => await timers.ScheduleAsync(factory.GetGrain<IBenchmarkTimerGrain>(number % grains), at(number),
                new BenchmarkMessage(number), cancellationToken: ended));
    }
}

/// <summary>A message.</summary>
internal sealed record BenchmarkMessage(int Number);

/// <summary>A grain that handles timers.</summary>
public interface IBenchmarkTimerGrain : IGrainWithIntegerKey;

/// <inheritdoc cref="IBenchmarkTimerGrain"/>
internal sealed class BenchmarkTimerGrain : Grain, IBenchmarkTimerGrain, IDurableTimerHandler<BenchmarkMessage>
{
    public Task HandleTimerAsync(BenchmarkMessage message, FiredTimer timer, CancellationToken cancellationToken)
    {
        BenchmarkTimers.Handled(DateTimeOffset.UtcNow - timer.Due);
        return Task.CompletedTask;
    }
}

/// <summary>Counts what the grains of this process handle.</summary>
internal static class BenchmarkTimers
{
    private static TaskCompletionSource s_all = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private static double[] s_late = [];
    private static int s_count;

    public static void Begin(int count) =>
        (s_all, s_late, s_count) = (new(TaskCreationOptions.RunContinuationsAsynchronously), new double[count], 0);

    public static void Handled(TimeSpan late)
    {
        var count = Interlocked.Increment(ref s_count);
        if (count > s_late.Length)
            return;
        s_late[count - 1] = late.TotalMilliseconds;
        if (count == s_late.Length)
            s_all.TrySetResult();
    }

    public static async Task<double[]> HandledAsync()
    {
        await s_all.Task;
        return [.. s_late];
    }
}
