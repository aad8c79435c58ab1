using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>What is lost of calls between live silos.</summary>
internal enum LostPart
{
    Request = 1,
    Answer = 2,
}

/// <summary>Loses deliveries to grains on their way, where silos send them: such a call never returns. Counts calls of grains.
/// Thread-safe.</summary>
internal sealed class LostMessages
{
    public const string Delivery = "DeliverAsync";
    public const string Question = "IsDeliveringAsync";

    private readonly ConcurrentDictionary<(GrainId Grain, string Method), int> _calls = [];
    private readonly ConcurrentDictionary<GrainId, (LostPart Part, int Count)> _losses = [];

    /// <summary>The silo that lost a part of its call, by the grain.</summary>
    public ConcurrentDictionary<GrainId, SiloAddress> LostBy { get; } = [];

    /// <summary>The silo that received the first delivery, by the grain.</summary>
    public ConcurrentDictionary<GrainId, SiloAddress> ReceivedBy { get; } = [];

    /// <summary>Adds it to a silo.</summary>
    public void AddTo(ISiloBuilder silo)
    {
        silo.Services.AddSingleton<IOutgoingGrainCallFilter>(services =>
            new Filter(this, services.GetRequiredService<ILocalSiloDetails>()));
        silo.Services.AddSingleton<IIncomingGrainCallFilter>(services =>
            new Receipt(this, services.GetRequiredService<ILocalSiloDetails>()));
    }

    /// <summary>Loses a part of the first deliveries to a grain.</summary>
    public void Lose(GrainId grain, LostPart part, int count = 1) => _losses[grain] = (part, count);

    /// <summary>Returns how often a method of a grain was called.</summary>
    public int Calls(GrainId grain, string method) => _calls.GetValueOrDefault((grain, method));

    private sealed class Filter(LostMessages lost, ILocalSiloDetails silo) : IOutgoingGrainCallFilter
    {
        public async Task Invoke(IOutgoingGrainCallContext context)
        {
            var (grain, method) = (context.TargetId, context.MethodName);
            var number = lost._calls.AddOrUpdate((grain, method), 1, static (_, count) => count + 1);
            if (method != Delivery || !lost._losses.TryGetValue(grain, out var loss) || number > loss.Count)
            {
                await context.Invoke();
                return;
            }
            lost.LostBy[grain] = silo.SiloAddress;
            if (loss.Part == LostPart.Answer)
                await context.Invoke();
            await new TaskCompletionSource().Task;
        }
    }

    private sealed class Receipt(LostMessages lost, ILocalSiloDetails silo) : IIncomingGrainCallFilter
    {
        public Task Invoke(IIncomingGrainCallContext context)
        {
            if (context.MethodName == Delivery)
                lost.ReceivedBy.TryAdd(context.TargetId, silo.SiloAddress);
            return context.Invoke();
        }
    }
}
