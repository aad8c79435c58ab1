namespace OrleansMq.Gateways.Amqp.Wire.Methods;

/// <summary>queue.declare: creates a queue, or checks one that exists.</summary>
internal readonly record struct QueueDeclare(string Queue, bool Passive, bool Durable, bool Exclusive, bool AutoDelete, bool NoWait,
    FieldTable Arguments) : IMethod
{
    public static MethodId Id => new(50, 10);

    MethodId IMethod.Id => Id;

    public static QueueDeclare Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadBit(), reader.ReadBit(), reader.ReadBit(), reader.ReadBit(), reader.ReadBit(),
            reader.ReadTable());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Queue);
        writer.WriteBit(Passive);
        writer.WriteBit(Durable);
        writer.WriteBit(Exclusive);
        writer.WriteBit(AutoDelete);
        writer.WriteBit(NoWait);
        writer.WriteTable(Arguments);
    }
}

/// <summary>queue.declare-ok: the queue exists; with its ready messages and its consumers.</summary>
internal readonly record struct QueueDeclareOk(string Queue, uint MessageCount, uint ConsumerCount) : IMethod
{
    public static MethodId Id => new(50, 11);

    MethodId IMethod.Id => Id;

    public static QueueDeclareOk Read(ref FieldReader reader) => new(reader.ReadShortString(), reader.ReadUInt32(), reader.ReadUInt32());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteShortString(Queue);
        writer.WriteUInt32(MessageCount);
        writer.WriteUInt32(ConsumerCount);
    }
}

/// <summary>queue.bind: binds a queue to an exchange.</summary>
internal readonly record struct QueueBind(string Queue, string Exchange, string RoutingKey, bool NoWait, FieldTable Arguments) : IMethod
{
    public static MethodId Id => new(50, 20);

    MethodId IMethod.Id => Id;

    public static QueueBind Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadShortString(), reader.ReadShortString(), reader.ReadBit(), reader.ReadTable());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Queue);
        writer.WriteShortString(Exchange);
        writer.WriteShortString(RoutingKey);
        writer.WriteBit(NoWait);
        writer.WriteTable(Arguments);
    }
}

/// <summary>queue.bind-ok: the queue is bound.</summary>
internal readonly record struct QueueBindOk : IMethod
{
    public static MethodId Id => new(50, 21);

    MethodId IMethod.Id => Id;

    public static QueueBindOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>queue.unbind: removes a binding of a queue.</summary>
internal readonly record struct QueueUnbind(string Queue, string Exchange, string RoutingKey, FieldTable Arguments) : IMethod
{
    public static MethodId Id => new(50, 50);

    MethodId IMethod.Id => Id;

    public static QueueUnbind Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadShortString(), reader.ReadShortString(), reader.ReadTable());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Queue);
        writer.WriteShortString(Exchange);
        writer.WriteShortString(RoutingKey);
        writer.WriteTable(Arguments);
    }
}

/// <summary>queue.unbind-ok: the binding is gone.</summary>
internal readonly record struct QueueUnbindOk : IMethod
{
    public static MethodId Id => new(50, 51);

    MethodId IMethod.Id => Id;

    public static QueueUnbindOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>queue.purge: removes the ready messages of a queue.</summary>
internal readonly record struct QueuePurge(string Queue, bool NoWait) : IMethod
{
    public static MethodId Id => new(50, 30);

    MethodId IMethod.Id => Id;

    public static QueuePurge Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadBit());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Queue);
        writer.WriteBit(NoWait);
    }
}

/// <summary>queue.purge-ok: how many messages were removed.</summary>
internal readonly record struct QueuePurgeOk(uint MessageCount) : IMethod
{
    public static MethodId Id => new(50, 31);

    MethodId IMethod.Id => Id;

    public static QueuePurgeOk Read(ref FieldReader reader) => new(reader.ReadUInt32());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt32(MessageCount);
    }
}

/// <summary>queue.delete: deletes a queue.</summary>
internal readonly record struct QueueDelete(string Queue, bool IfUnused, bool IfEmpty, bool NoWait) : IMethod
{
    public static MethodId Id => new(50, 40);

    MethodId IMethod.Id => Id;

    public static QueueDelete Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadBit(), reader.ReadBit(), reader.ReadBit());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Queue);
        writer.WriteBit(IfUnused);
        writer.WriteBit(IfEmpty);
        writer.WriteBit(NoWait);
    }
}

/// <summary>queue.delete-ok: how many messages went with the queue.</summary>
internal readonly record struct QueueDeleteOk(uint MessageCount) : IMethod
{
    public static MethodId Id => new(50, 41);

    MethodId IMethod.Id => Id;

    public static QueueDeleteOk Read(ref FieldReader reader) => new(reader.ReadUInt32());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt32(MessageCount);
    }
}
