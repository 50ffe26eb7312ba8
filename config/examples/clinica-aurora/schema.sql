-- Clínica Aurora, an invented clinic: Spanish names, statuses as ENUM labels, nothing is ever deleted, reminders are a flag.
-- MySQL 8.0+ and MariaDB 10.6+. Its events are in events.yaml beside this file.

SET NAMES utf8mb4;

CREATE TABLE sucursales (
  id INT AUTO_INCREMENT PRIMARY KEY,
  nombre VARCHAR(80) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE usuarios (
  id INT AUTO_INCREMENT PRIMARY KEY,
  nombre VARCHAR(80) NOT NULL,
  contraseña VARCHAR(255) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE pacientes (
  id INT AUTO_INCREMENT PRIMARY KEY,
  expediente VARCHAR(12) NOT NULL UNIQUE,
  nombres VARCHAR(80) NOT NULL,
  apellidos VARCHAR(80) NOT NULL,
  teléfono VARCHAR(20),
  correo VARCHAR(120),
  nacimiento DATE,
  sucursal_id INT NOT NULL,
  situación ENUM('activo', 'inactivo', 'en espera') NOT NULL DEFAULT 'activo',
  eliminado_en DATETIME,
  creado_en DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (sucursal_id) REFERENCES sucursales (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE citas (
  id INT AUTO_INCREMENT PRIMARY KEY,
  paciente_id INT NOT NULL,
  doctor_id INT NOT NULL,
  sucursal_id INT NOT NULL,
  inicia_en DATETIME NOT NULL,
  minutos SMALLINT UNSIGNED NOT NULL DEFAULT 30,
  estado ENUM('programada', 'confirmada', 'en sala', 'atendida', 'cancelada', 'no asistió') NOT NULL DEFAULT 'programada',
  motivo_cancelación VARCHAR(255),
  recordatorio_enviado TINYINT(1) NOT NULL DEFAULT 0,
  canal_recordatorio ENUM('whatsapp', 'sms', 'correo'),
  creada_por INT,
  eliminada_en DATETIME,
  FOREIGN KEY (paciente_id) REFERENCES pacientes (id),
  FOREIGN KEY (sucursal_id) REFERENCES sucursales (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE tratamientos (
  id INT AUTO_INCREMENT PRIMARY KEY,
  nombre VARCHAR(120) NOT NULL,
  precio DECIMAL(12, 2) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE citas_tratamientos (
  cita_id INT NOT NULL,
  tratamiento_id INT NOT NULL,
  cantidad INT NOT NULL DEFAULT 1,
  PRIMARY KEY (cita_id, tratamiento_id),
  FOREIGN KEY (cita_id) REFERENCES citas (id),
  FOREIGN KEY (tratamiento_id) REFERENCES tratamientos (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE presupuestos (
  id INT AUTO_INCREMENT PRIMARY KEY,
  paciente_id INT NOT NULL,
  importe DECIMAL(12, 2) NOT NULL DEFAULT 0.00,
  estado ENUM('borrador', 'enviado', 'aceptado', 'rechazado') NOT NULL DEFAULT 'borrador',
  FOREIGN KEY (paciente_id) REFERENCES pacientes (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE presupuestos_detalles (
  id INT AUTO_INCREMENT PRIMARY KEY,
  presupuesto_id INT NOT NULL,
  tratamiento_id INT NOT NULL,
  cantidad INT NOT NULL DEFAULT 1,
  precio DECIMAL(12, 2) NOT NULL,
  FOREIGN KEY (presupuesto_id) REFERENCES presupuestos (id),
  FOREIGN KEY (tratamiento_id) REFERENCES tratamientos (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE cobros (
  id INT AUTO_INCREMENT PRIMARY KEY,
  paciente_id INT NOT NULL,
  presupuesto_id INT,
  importe DECIMAL(12, 2) NOT NULL,
  forma ENUM('efectivo', 'tarjeta', 'transferencia') NOT NULL,
  devuelto TINYINT(1) NOT NULL DEFAULT 0,
  comentario TEXT,
  cajero_id INT,
  FOREIGN KEY (paciente_id) REFERENCES pacientes (id),
  FOREIGN KEY (presupuesto_id) REFERENCES presupuestos (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE historias (
  id INT AUTO_INCREMENT PRIMARY KEY,
  paciente_id INT NOT NULL,
  doctor_id INT NOT NULL,
  diagnóstico TEXT,
  evolución TEXT,
  FOREIGN KEY (paciente_id) REFERENCES pacientes (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE consentimientos (
  id INT AUTO_INCREMENT PRIMARY KEY,
  paciente_id INT NOT NULL,
  procedimiento VARCHAR(150) NOT NULL,
  firmado_en DATETIME,
  FOREIGN KEY (paciente_id) REFERENCES pacientes (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE inventario (
  id INT AUTO_INCREMENT PRIMARY KEY,
  artículo VARCHAR(120) NOT NULL,
  existencia INT NOT NULL,
  mínimo INT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

INSERT INTO sucursales VALUES (1, 'Zona Colonial'), (2, 'Bávaro');
INSERT INTO usuarios VALUES (1, 'Rocío Núñez', '!');
INSERT INTO tratamientos VALUES (1, 'Limpieza', 1500.00), (2, 'Extracción de cordal', 4200.50);
INSERT INTO pacientes (id, expediente, nombres, apellidos, teléfono, sucursal_id) VALUES
  (1, 'A-0001', 'Ángela', 'Güichardo Peña', '809-555-0201', 1);
INSERT INTO inventario VALUES (1, 'Anestesia 💉', 30, 10);
